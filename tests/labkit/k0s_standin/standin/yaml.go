package standin

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The part of YAML that configuration files use: block maps and lists, plain and quoted scalars, and JSON.

type yamlLine struct {
	indent int
	text   string
	number int
}

func parseYAML(raw string) (any, error) {
	trimmed := strings.TrimSpace(raw)
	if strings.HasPrefix(trimmed, "{") {
		var value any
		return value, json.Unmarshal([]byte(trimmed), &value)
	}
	var lines []yamlLine
	for number, line := range strings.Split(raw, "\n") {
		text := strings.TrimRight(line, " \r")
		content := strings.TrimLeft(text, " ")
		if content == "" || strings.HasPrefix(content, "#") || content == "---" {
			continue
		}
		if strings.Contains(text, "\t") {
			return nil, fmt.Errorf("line %d: found a tab character", number+1)
		}
		lines = append(lines, yamlLine{len(text) - len(content), content, number + 1})
	}
	if len(lines) == 0 {
		return nil, nil
	}
	value, rest, err := yamlBlock(lines, lines[0].indent)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("line %d: did not find expected key", rest[0].number)
	}
	return value, err
}

func yamlBlock(lines []yamlLine, indent int) (any, []yamlLine, error) {
	if lines[0].text == "-" || strings.HasPrefix(lines[0].text, "- ") {
		return yamlList(lines, indent)
	}
	return yamlMap(lines, indent)
}

func yamlList(lines []yamlLine, indent int) (any, []yamlLine, error) {
	list := []any{}
	for len(lines) > 0 && lines[0].indent == indent && (lines[0].text == "-" || strings.HasPrefix(lines[0].text, "- ")) {
		content := strings.TrimLeft(lines[0].text[1:], " ")
		var value any
		var err error
		switch {
		case content == "":
			value, lines, err = yamlBelow(lines, indent+1)
		case yamlKey(content) != "" && !strings.HasPrefix(content, "\""):
			inner := lines[0]
			inner.indent, inner.text = indent+len(lines[0].text)-len(content), content
			value, lines, err = yamlMap(append([]yamlLine{inner}, lines[1:]...), inner.indent)
		default:
			value, err = yamlScalar(content)
			lines = lines[1:]
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, value)
	}
	return list, lines, nil
}

func yamlMap(lines []yamlLine, indent int) (any, []yamlLine, error) {
	result := map[string]any{}
	for len(lines) > 0 && lines[0].indent == indent {
		line := lines[0]
		key := yamlKey(line.text)
		if key == "" {
			return nil, nil, fmt.Errorf("line %d: could not find expected ':'", line.number)
		}
		name := strings.Trim(key, "\"'")
		if _, twice := result[name]; twice {
			return nil, nil, fmt.Errorf("line %d: key %q already set in map", line.number, name)
		}
		content := strings.TrimSpace(line.text[len(key)+1:])
		var value any
		var err error
		if content == "" {
			value, lines, err = yamlBelow(lines, indent)
		} else {
			value, err = yamlScalar(content)
			lines = lines[1:]
		}
		if err != nil {
			return nil, nil, err
		}
		result[name] = value
	}
	return result, lines, nil
}

// yamlBelow is the block under a key or a dash; a list may stand as far left as its key.
func yamlBelow(lines []yamlLine, indent int) (any, []yamlLine, error) {
	rest := lines[1:]
	if len(rest) == 0 {
		return nil, rest, nil
	}
	if rest[0].indent > indent || (rest[0].indent == indent && strings.HasPrefix(rest[0].text, "-")) {
		return yamlBlock(rest, rest[0].indent)
	}
	return nil, rest, nil
}

func yamlKey(text string) string {
	if strings.HasPrefix(text, "\"") || strings.HasPrefix(text, "'") {
		end := strings.IndexByte(text[1:], text[0])
		if end >= 0 && strings.HasPrefix(text[end+2:], ":") {
			return text[:end+2]
		}
		return ""
	}
	for i := 0; i < len(text); i++ {
		if text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ') {
			return text[:i]
		}
	}
	return ""
}

func yamlScalar(text string) (any, error) {
	switch text[0] {
	case '{', '[', '"':
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		return value, nil
	case '\'':
		return strings.ReplaceAll(strings.Trim(text, "'"), "''", "'"), nil
	case '|', '>', '&', '*', '!':
		return nil, fmt.Errorf("%s: not understood", text)
	}
	text, _, _ = strings.Cut(text, " #")
	switch text {
	case "true", "false":
		return text == "true", nil
	case "null", "~":
		return nil, nil
	}
	var number float64
	if json.Unmarshal([]byte(text), &number) == nil {
		return number, nil
	}
	return text, nil
}
