package standin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// printed is JSON, or what a JSONPath template makes of it.
func printed(flags Flags, value any) error {
	output := flags.get("output")
	if output == "json" {
		return printJSON(value)
	}
	template, ok := strings.CutPrefix(output, "jsonpath=")
	if !ok {
		return fmt.Errorf("unable to match a printer suitable for the output format %q", output)
	}
	text, err := filled(template, cloned(value))
	fmt.Print(text)
	return err
}

// filled understands text, `{.a.b}`, `{"text"}`, `{range .list[*]}...{end}`; a path that leads nowhere is empty.
func filled(template string, value any) (string, error) {
	var made strings.Builder
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		made.WriteString(before)
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("error parsing jsonpath %s: unclosed action", template)
		}
		template = after
		switch {
		case strings.HasPrefix(inner, `"`):
			text, err := strconv.Unquote(inner)
			if err != nil {
				return "", err
			}
			made.WriteString(text)
		case strings.HasPrefix(inner, "range "):
			body, after, closed := strings.Cut(template, "{end}")
			if !closed {
				return "", fmt.Errorf("error parsing jsonpath %s: unclosed range", template)
			}
			template = after
			for _, one := range follow(value, strings.TrimPrefix(inner, "range ")) {
				text, err := filled(body, one)
				if err != nil {
					return "", err
				}
				made.WriteString(text)
			}
		default:
			for i, one := range follow(value, inner) {
				if i > 0 {
					made.WriteString(" ")
				}
				switch found := one.(type) {
				case string:
					made.WriteString(found)
				case bool, float64:
					fmt.Fprint(&made, found)
				default:
					raw, err := json.Marshal(found)
					if err != nil {
						return "", err
					}
					made.Write(raw)
				}
			}
		}
	}
	return made.String(), nil
}

var pathPart = regexp.MustCompile(`^(?:\.?([^.\[\]\\]+(?:\\.[^.\[\]\\]*)*)|\[([^\]]*)\])`)

// follow is what a path of names, `[0]`, `[*]` and `[?(@.name=="value")]` leads to.
func follow(value any, path string) []any {
	values := []any{value}
	for path = strings.TrimSpace(path); path != "" && path != "."; {
		match := pathPart.FindStringSubmatch(path)
		if match == nil {
			return nil
		}
		path = path[len(match[0]):]
		var next []any
		for _, one := range values {
			if match[1] != "" {
				tree, _ := one.(map[string]any)
				if found := tree[strings.ReplaceAll(match[1], `\.`, ".")]; found != nil {
					next = append(next, found)
				}
				continue
			}
			list, _ := one.([]any)
			next = append(next, chosen(list, match[2])...)
		}
		values = next
	}
	return values
}

func chosen(list []any, how string) []any {
	if how == "*" {
		return list
	}
	if number, err := strconv.Atoi(how); err == nil {
		if number < len(list) {
			return list[number : number+1]
		}
		return nil
	}
	name, wanted, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(how, "?(@."), ")"), "==")
	var found []any
	for _, one := range list {
		if tree, ok := one.(map[string]any); ok && tree[name] == strings.Trim(wanted, "\"'") {
			found = append(found, one)
		}
	}
	return found
}
