"""Every kind of hostile input that sealboot answers for, and the tests that show it. docs/hostile.md is made from this.

To add one: a `Case` here, a test, and `UPDATE_GOLDEN=1 pytest tests/hostile/test_hostile_table.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

ELF = "unit/artifacts/test_elf_hostile.py::"
ELF_FACTS = "unit/artifacts/test_elf.py::"
BOOT = "unit/artifacts/test_boot_hostile.py::"
PE = "unit/artifacts/test_pe_uki.py::"
ARCHIVE = "unit/artifacts/test_archive_hostile.py::"
TAR = "unit/artifacts/test_tarwalk.py::"
STREAM = "unit/artifacts/test_compress.py::"
PAYLOAD = "unit/artifacts/test_payload_hostile.py::"
READER = "unit/artifacts/test_reader.py::"
SPECIAL = "promises/test_p15_special_files.py::"
YAML = "unit/inventory/test_inventory_yaml.py::"
HYGIENE = "unit/inventory/test_inventory_hygiene.py::"
RESOLVE = "unit/inventory/test_inventory_resolve.py::"
HERE = "hostile/"


@dataclass(frozen=True)
class Case:
    """What is hostile, what it does to a reader that trusts it, what sealboot does, and the tests of that."""

    what: str
    harm: str
    rule: str
    tests: tuple[str, ...]


CASES = (
    # -- programs
    Case(
        "programs with changed bytes",
        "libraries raise whatever they like: overflow, Unicode, attribute errors",
        "a value, or SB401 with its offset",
        (
            HERE + "test_hostile_programs.py::test_fifteen_hundred_mutated_programs",
            ELF + "test_mutations_never_raise",
            ELF + "test_every_sample_is_a_value",
            "unit/artifacts/test_inspect.py::test_damage_has_its_offset",
        ),
    ),
    Case(
        "an ELF header alone, or one with tables at 2^63 of 65535 entries",
        "reading tables fails or never ends",
        "the first 64 bytes decide the architecture",
        (
            HERE + "test_hostile_programs.py::test_the_first_64_bytes_decide_the_architecture",
            ELF + "test_lying_tables",
        ),
    ),
    Case(
        "a sparse file of a tebibyte that claims 2^33 sections",
        "walking the sections never ends",
        "SB409 by its size; no section says how many sections there are; under 2 MiB is read",
        (
            HERE
            + "test_hostile_programs.py::test_billions_of_sections_in_a_file_that_is_small_enough_to_be_read",
            HERE + "test_hostile_programs.py::test_files_on_disk_that_promise_more_than_they_have",
            ELF + "test_a_sparse_terabyte_with_lying_section_counts",
            SPECIAL + "test_a_sparse_file_of_a_tebibyte",
        ),
    ),
    Case(
        "more program headers than any compiler writes",
        "each costs time",
        "told from 257 on, refused where a kernel refuses",
        (ELF_FACTS + "test_many_program_headers_are_read_and_told",),
    ),
    Case(
        "an interpreter path of 32 MiB without an end",
        "seconds, and hundreds of MiB",
        "SB401; at most 4096 bytes of it are read",
        (
            HERE + "test_hostile_programs.py::test_files_on_disk_that_promise_more_than_they_have",
            ELF + "test_an_interpreter_of_32_mib_is_not_read",
        ),
    ),
    Case(
        "chains of symbol versions, notes and dynamic entries that run in circles",
        "no end, or millions of entries",
        "counted, and cut",
        (
            ELF + "test_version_chains_cannot_run_away",
            ELF + "test_a_huge_dynamic_section_is_cut",
            ELF + "test_notes_of_zero_and_huge_sizes_end",
        ),
    ),
    Case(
        "machine 0, or a machine that nobody knows",
        "a number where a name was expected",
        "runs nowhere; the number is shown",
        (
            "unit/fit/test_fit_judge.py::test_odd_machines_are_described",
            "unit/artifacts/test_inspect.py::test_a_machine_without_a_name_lies_too",
        ),
    ),
    Case(
        "class or byte order that do not go with the machine; x32",
        "the machine field alone says x86-64",
        "class, byte order and machine decide together",
        (
            ELF_FACTS + "test_the_triple_decides",
            ELF_FACTS + "test_flipped_data_shows_the_number_as_it_reads",
            "unit/fit/test_fit_judge.py::test_odd_machines_are_described",
        ),
    ),
    Case(
        "object files and core dumps",
        "right machine, and no program",
        "SB112",
        (
            "unit/fit/test_fit_judge.py::test_what_is_no_program",
            ELF_FACTS + "test_an_object_file_needs_no_program_headers",
        ),
    ),
    Case(
        "build information with a megabyte of linker flags",
        "a search that begins anew at each of them: hours",
        "read once",
        ("unit/artifacts/test_gobuild.py::test_a_megabyte_of_linker_flags_is_read_once",),
    ),
    # -- files that are none
    Case(
        "a FIFO, a socket, a device, `/dev/zero`",
        "opening blocks, or there is no end",
        "opened without waiting, and left alone",
        (
            HERE + "test_hostile_programs.py::test_files_on_disk_that_promise_more_than_they_have",
            READER + "test_a_fifo_does_not_block",
            READER + "test_a_device_and_a_socket_are_special",
            SPECIAL + "test_devices_and_kernel_files",
            YAML + "test_what_cannot_be_read_is_sb001",
            "unit/plan/test_planfile.py::test_files_that_are_no_files",
            "unit/transport/test_sshconfig.py::test_what_is_no_file_is_not_waited_for",
            "unit/transport/test_knownhosts.py::test_missing_files_are_empty_and_others_are_told",
        ),
    ),
    Case(
        "folders, and links in a circle",
        "endless walks",
        "a folder is said to be one, a circle is SB408",
        (
            READER + "test_a_directory_is_a_directory",
            READER + "test_a_loop_of_links_is_unreadable",
            SPECIAL + "test_fifo_socket_loop_and_nothing",
            SPECIAL + "test_a_folder_of_very_many_files",
        ),
    ),
    Case(
        "a file that is exchanged or written to while it is read",
        "one file is judged and another one hashed",
        "one descriptor for both; SB408 when it changed",
        (
            READER + "test_reads_by_position_and_hashes_the_same_bytes",
            READER + "test_a_change_while_reading_is_noticed",
            SPECIAL + "test_a_file_that_changes_while_it_is_read",
            "promises/test_p02_what_goes_live.py::test_the_file_is_swapped_on_the_controller_while_it_is_sent",
        ),
    ),
    # -- boot images
    Case(
        "a UKI of 200 MB",
        "seconds, and twice its size in memory",
        "headers and short texts are read: milliseconds",
        (BOOT + "test_a_sparse_uki_of_200_mb_takes_milliseconds",),
    ),
    Case(
        "a PE image of 65535 sections, or sections that overlap",
        "each costs time; contents of one are those of another",
        "at most 96 are read; overlaps are SB405",
        (
            PE + "test_more_sections_than_are_ever_loaded",
            BOOT + "test_a_table_of_sections_that_all_overlap",
            PE + "test_sections_that_overlap_in_memory",
        ),
    ),
    Case(
        "`.osrel`, `.uname` or `.cmdline` of megabytes",
        "they are texts to be shown",
        "cut at 64 KiB, and told",
        (PE + "test_long_texts_are_cut",),
    ),
    Case(
        "boot images with changed bytes, or cut anywhere",
        "tables that point anywhere",
        "a value, or SB401 and SB405",
        (
            BOOT + "test_mutations_never_raise",
            BOOT + "test_every_image_cut_everywhere",
            BOOT + "test_anything_after_a_magic",
        ),
    ),
    # -- compressed data and archives
    Case(
        "4 GiB in 4 MB of gzip, 4 GiB in 131 kB of zstd; the same inside other files",
        "a minute of processor time, or the whole memory",
        "SB409 by bytes, by ratio and by time; SB403 in payloads",
        (
            HERE + "test_hostile_bombs.py::test_small_files_of_gigabytes",
            ARCHIVE + "test_a_gzip_bomb",
            ARCHIVE + "test_a_zstd_bomb_inside_an_archive",
            ARCHIVE + "test_time_is_bounded_too",
            STREAM + "test_bombs_end_early",
            STREAM + "test_absolute_bounds",
            STREAM + "test_a_stream_in_a_stream_counts_in_both",
            BOOT + "test_a_bomb_in_a_zboot_image_is_not_unwrapped",
            PAYLOAD + "test_a_bomb_in_a_chain",
            PAYLOAD + "test_a_bomb_in_an_archive_of_k3s",
        ),
    ),
    Case(
        "very many compressed streams with nothing in them",
        "nothing comes out that a bound would count, for hours",
        "SB409 at 10,000; the time is asked for what goes in as well",
        (
            STREAM + "test_very_many_streams_of_nothing",
            STREAM + "test_the_time_is_asked_even_where_nothing_comes_out",
        ),
    ),
    Case(
        "a zstd window of 2^31, an xz or lzma dictionary of gigabytes",
        "the memory is taken before the first byte",
        "refused by the header",
        (
            STREAM + "test_a_window_too_large_is_refused_before_memory_is_taken",
            STREAM + "test_xz_that_wants_much_memory",
            BOOT + "test_an_xz_header_that_wants_gigabytes",
        ),
    ),
    Case(
        "a `manifest.json` of 4 GiB",
        "read into memory to be parsed",
        "documents above 4 MiB are never kept",
        (
            HERE + "test_hostile_bombs.py::test_small_files_of_gigabytes",
            ARCHIVE + "test_a_document_of_gigabytes_is_never_kept",
        ),
    ),
    Case(
        "a pax or long-name record of 1 GiB",
        "libraries read all of it before they show a name",
        "refused by its header from 64 KiB on",
        (
            HERE + "test_hostile_bombs.py::test_small_files_of_gigabytes",
            ARCHIVE + "test_a_record_of_a_gigabyte",
            TAR + "test_a_huge_record_is_refused_unread",
        ),
    ),
    Case(
        "300,000 members without content",
        "hundreds of MiB of names",
        "SB409 at 100,000; SB404 at 20,000 for images",
        (
            ARCHIVE + "test_very_many_empty_members",
            ARCHIVE + "test_more_files_than_an_image_archive_can_have",
            TAR + "test_too_many_members",
        ),
    ),
    Case(
        "two files named `manifest.json`",
        "one reader takes the first, another one the last",
        "refused",
        ("unit/artifacts/test_images.py::test_what_matters_is_there_once",),
    ),
    Case(
        "documents that are deep, odd, or point at each other",
        "recursion, or the same work a million times",
        "SB404; depth and steps are counted",
        (
            ARCHIVE + "test_documents_that_are_deep_or_odd",
            ARCHIVE + "test_indexes_within_indexes",
            ARCHIVE + "test_any_documents_never_raise",
        ),
    ),
    Case(
        "members of negative size, sizes that are no numbers",
        "readers go backwards, or guess",
        "SB401",
        (TAR + "test_sizes_that_are_none", TAR + "test_damaged_pax_records"),
    ),
    Case(
        "links in a circle, links to `/etc/shadow`, names that climb out",
        "recursion; files of the system read or overwritten",
        "nothing is ever unpacked: no file is written, and none outside is opened",
        (
            HERE + "test_hostile_bombs.py::test_links_and_paths_out_of_the_archive_write_nothing",
            ARCHIVE + "test_links_lead_nowhere",
            TAR + "test_links_have_no_content_whatever_they_say",
            TAR + "test_names_are_cleaned",
        ),
    ),
    Case(
        "archives with changed bytes, or cut anywhere",
        "half an image looks whole",
        "SB401, and no platform",
        (
            ARCHIVE + "test_damaged_archives_never_raise",
            ARCHIVE + "test_a_cut_archive_has_no_platform",
            STREAM + "test_damage_never_escapes",
            TAR + "test_damage_never_escapes_the_walk",
        ),
    ),
    Case(
        "payloads whose directory lies, or whose files share their data",
        "the same bytes are inflated again and again",
        "SB403; every byte is counted once",
        (
            PAYLOAD + "test_a_directory_that_lies",
            PAYLOAD + "test_files_that_share_their_data",
            PAYLOAD + "test_ten_thousand_marks",
            PAYLOAD + "test_mutations_never_raise",
        ),
    ),
    # -- inventories
    Case(
        "YAML aliases that grow a billionfold",
        "loaded at once, and never printed to the end, not even in an error",
        "SB003 at the first anchor; the file is not repeated",
        (
            HERE + "test_hostile_inventories.py::test_refused_at_once_and_in_little_text",
            YAML + "test_refused_with_code_place_and_fix",
        ),
    ),
    Case(
        "YAML merge keys that do the same, a file above 8 MiB",
        "never loaded to the end",
        "SB003, SB005",
        (
            HERE + "test_hostile_inventories.py::test_refused_at_once_and_in_little_text",
            YAML + "test_refused_with_code_place_and_fix",
        ),
    ),
    Case(
        "the same key twice",
        "the last one wins in silence",
        "SB004 with both places",
        (YAML + "test_a_duplicate_key_names_both_places",),
    ),
    Case(
        "900 or 100,000 levels",
        "recursion",
        "SB005 at the 33rd",
        (
            HERE + "test_hostile_inventories.py::test_refused_at_once_and_in_little_text",
            YAML + "test_refused_with_code_place_and_fix",
        ),
    ),
    Case(
        "`no`, `0777`, `22:22`, `1_000`",
        "false, 511, 1342, 1000",
        "the text that was written",
        (YAML + "test_every_scalar_is_the_text_it_is", HYGIENE + "test_ports_are_plain_decimal"),
    ),
    Case(
        "10,000 hosts",
        "ten seconds",
        "about one",
        (YAML + "test_ten_thousand_hosts_load_quickly",),
    ),
    Case(
        "any bytes, any tree",
        "tracebacks with values in them",
        "findings with their reasons, and a bounded number of them",
        (
            YAML + "test_no_bytes_ever_raise",
            YAML + "test_no_tree_ever_raises_and_every_error_has_its_reasons",
            YAML + "test_findings_are_bounded",
        ),
    ),
    Case(
        "two names for one machine: one address and port, one machine-id",
        "two steps on it at once",
        "SB010 before connecting, SB306 after",
        (
            RESOLVE + "test_two_ways_to_one_machine",
            "unit/checks/test_checks.py::test_sb306_one_machine_under_two_names",
        ),
    ),
    Case(
        "hosts and users with a leading dash, shell characters, blanks, control or bidi characters",
        "options of another program, or code",
        "refused as OpenSSH does, and more",
        (
            HYGIENE + "test_what_is_no_address_is_refused",
            HYGIENE + "test_what_is_no_user_is_refused",
            HYGIENE + "test_wrong_hops",
        ),
    ),
    Case(
        "`2130706433`, `127.1`, `0x7f.1`",
        "127.0.0.1 under another name",
        "refused, with what they mean",
        (HYGIENE + "test_odd_spellings_of_ipv4_are_refused_with_what_they_mean",),
    ),
    Case(
        "`[::1]`, names in other scripts",
        "two spellings of one machine; names that look alike",
        "one spelling, shown as the network has it",
        (
            HYGIENE + "test_one_spelling",
            RESOLVE + "test_an_international_name_is_shown_as_the_network_has_it",
            HYGIENE + "test_what_is_normal_stays_so",
        ),
    ),
    Case(
        "`-oProxyCommand=...` as a host, names too long or with NUL",
        "commands; errors of other libraries",
        "refused, by one kind of error",
        (
            HYGIENE + "test_what_is_no_address_is_refused",
            HYGIENE + "test_nothing_but_unsafe_error_ever_leaves",
            "unit/transport/test_resolve.py::test_whatever_a_resolver_raises_is_a_reason",
        ),
    ),
    Case(
        "ssh_config: rows of digits or colons for a time or a jump host, includes that double at each depth",
        "what tries every way never ends",
        "refused at once; 256 files at most",
        (
            "unit/transport/test_sshconfig.py::test_what_cannot_be_understood_stops_with_its_line",
            "unit/transport/test_sshconfig.py::test_includes_without_end_are_counted",
            "unit/transport/test_sshconfig.py::test_a_hop_of_any_length_is_refused_at_once",
        ),
    ),
    Case(
        "paths and values that are shell code, options, or half a character",
        "they are run on the host",
        "never part of a script's text; no path is an option",
        (
            "unit/transport/test_shell_protocol.py::test_any_text_round_trips_as_argument_and_variable",
            "promises/test_p06_hostile_names.py::test_files_with_hostile_names_are_inspected_checked_and_shipped",
            "promises/test_p06_hostile_names.py::test_hostile_values_in_the_inventory",
            HYGIENE + "test_paths_on_hosts",
        ),
    ),
    # -- the last defence
    Case(
        "what nobody thought of",
        "any of the above",
        "every parser under a memory limit, a deadline and a watch on writes; findings are kept and tried again",
        (
            "fuzz/test_fuzz_seeds.py::test_every_kept_seed",
            "fuzz/test_fuzz_seeds.py::test_every_parser_is_fuzzed",
            SPECIAL + "test_devices_and_kernel_files",
        ),
    ),
)
