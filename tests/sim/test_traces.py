import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.traces import (
    Counts,
    Labels,
    LoadTimes,
    Trace,
    TraceError,
    clock_step_s,
    read_load_times,
    read_trace,
    service_from_tokens,
    write_trace,
)

SHARED = Path(__file__).parents[3] / "shared" / "traces"

GENTD26 = """gmt_create,predict_type,predict_status,exec_time_seconds,groupId,checkpoint_model_version_id,num_lora
2030-01-01 08:00:00,TXT_2_IMG,SUCCEED,10.0,G1,M7,0
2030-01-01 08:00:30,IMG_2_IMG,SUCCEED,20.0,G1,M9,0
2030-01-01 08:02:00,TXT_2_IMG,FAILED,4.0,G2,M7,1
2030-01-01 08:05:00,INPAINTING,PENDING,0.0,G2,,0
"""
OURS = """time_s,version,class,service_s,patience_s,failed
0,v1,chat,1.5,30,0
2,v2,chat,2.5,,1
5,,batch,0,60,0
"""


def file(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def requests(path: Path) -> Trace:
    trace = read_trace(path)
    assert isinstance(trace, Trace)
    return trace


def counts(path: Path) -> Counts:
    found = read_trace(path)
    assert isinstance(found, Counts)
    return found


def found(trace: Trace | Counts | LoadTimes) -> dict[str, float]:
    return {finding.name: finding.value for finding in trace.findings}


def columns(trace: Trace | Counts) -> dict[str, object]:
    """Everything but where it was read from and what was found there, fit for ==; NaN as the word."""
    kept = {name: value for name, value in vars(trace).items() if name not in ("name", "format", "findings")}
    return {name: _comparable(value) for name, value in kept.items()}


def _comparable(value: object) -> object:
    if isinstance(value, Labels):
        return value.texts()
    if isinstance(value, np.ndarray):
        return ["nan" if np.isnan(item) else item for item in value.tolist()]
    return value


def refusal(path: Path) -> str:
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    return str(caught.value).replace(f"{path.parent}/", "")


# What each format says.


def test_an_image_generation_log_tells_versions_classes_and_service_times(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, GENTD26))
    assert trace.format == "gentd26"
    assert trace.start == "2030-01-01 08:00:00"
    assert trace.time_s.tolist() == [0, 30, 120, 300]
    assert trace.version is not None
    assert trace.version.texts() == ["M7", "M9", "M7", ""]
    assert trace.request_class is not None
    assert trace.request_class.names == ("IMG_2_IMG", "INPAINTING", "TXT_2_IMG")
    assert found(trace)["columns_ignored"] == 2


def test_a_failed_request_keeps_its_time_and_one_that_never_ran_has_none(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, GENTD26))
    assert trace.failed is not None
    assert trace.failed.tolist() == [False, False, True, True]
    assert trace.service_s is not None
    assert trace.service_s[:3].tolist() == [10, 20, 4]
    assert np.isnan(trace.service_s[3])
    assert found(trace) | {"status_failed": 1, "status_pending": 1, "service_s_idle": 1} == found(trace)


def test_a_success_in_no_time_is_a_coarse_clock_and_stays_zero(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, GENTD26.replace("SUCCEED,10.0", "SUCCEED,0.0")))
    assert trace.service_s is not None
    assert trace.service_s[0] == 0
    assert found(trace)["service_s_zero"] == 1


def test_a_language_model_log_tells_tokens(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2030-05-01 10:00:00.5000000,100,20\n2030-05-01 10:00:01.7500000,7,3"
    )
    trace = requests(file(tmp_path, text))
    assert trace.format == "azure_llm"
    assert trace.time_s.tolist() == [0, 1.25]
    assert columns(trace)["context_tokens"] == [100, 7]
    assert columns(trace)["generated_tokens"] == [20, 3]


def test_times_with_a_zone_and_without_a_fraction_are_times_too(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2030-05-10 00:00:00.250000+00:00,1,1\n2030-05-10 02:00:01+02:00,1,1\n"
    )
    assert requests(file(tmp_path, text)).time_s.tolist() == [0, 0.75]


def test_json_lines_of_lengths_are_in_milliseconds_unless_they_name_chats(tmp_path: Path) -> None:
    rows = [{"timestamp": t, "input_length": 10, "output_length": 5, "hash_ids": [1, 2]} for t in (0, 3000)]
    mooncake = file(tmp_path, "\n".join(json.dumps(row) for row in rows), "a.jsonl")
    assert requests(mooncake).time_s.tolist() == [0, 3]
    chats = [{**row, "chat_id": 4, "type": "text"} for row in rows]
    bailian = requests(file(tmp_path, "\n".join(json.dumps(row) for row in chats), "b.jsonl"))
    assert bailian.format == "qwen_bailian"
    assert bailian.time_s.tolist() == [0, 3000]
    assert columns(bailian)["request_class"] == ["text", "text"]


def test_our_own_form_has_every_column(tmp_path: Path) -> None:
    trace = columns(requests(file(tmp_path, OURS)))
    assert trace["version"] == ["v1", "v2", ""]
    assert trace["request_class"] == ["chat", "chat", "batch"]
    assert trace["service_s"] == [1.5, 2.5, 0]
    assert trace["patience_s"] == [30, "nan", 60]
    assert trace["failed"] == [False, True, False]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Arrival Time,Model", "version"),
        ("Timestamp,Request tokens", "context_tokens"),
        ("timestamp,request-class", "request_class"),
        ("TIME,VERSION", "version"),
    ],
)
def test_names_may_be_written_otherwise(tmp_path: Path, header: str, field: str) -> None:
    assert columns(requests(file(tmp_path, f"{header}\n1,7\n2,8\n")))[field] in (["7", "8"], [7, 8])


def test_a_value_beside_a_version_is_no_count(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_s,version,value\n0,v1,8\n1,v2,9\n"))
    assert columns(trace)["version"] == ["v1", "v2"]
    assert found(trace)["columns_ignored"] == 1


def test_a_word_that_is_neither_yes_nor_no_is_no_failure(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_s,failed\n0,yes\n1,No\n2,perhaps\n3,\n4,TRUE\n"))
    assert columns(trace)["failed"] == [True, False, False, False, True]
    assert found(trace) | {"failed": 2, "failed_unreadable": 1} == found(trace)


def test_a_name_in_ms_is_in_milliseconds(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_ms,duration_ms\n1000,250\n1500,500\n"))
    assert trace.time_s.tolist() == [0, 0.5]
    assert columns(trace)["service_s"] == [0.25, 0.5]


def test_unix_time_knows_its_calendar_and_other_seconds_do_not(tmp_path: Path) -> None:
    assert requests(file(tmp_path, "time_s\n1893456000\n1893456001\n")).start == "2030-01-01T00:00:00+00:00"
    trace = requests(file(tmp_path, "time_s\n100\n101\n"))
    assert trace.start is None
    assert trace.time_s.tolist() == [0, 1]
    assert found(trace)["first_time_s"] == 100


def test_the_calendar_moves_with_the_first_row_that_counts(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_s,start\n90,2030-01-01T00:00:00\n100,\n"))
    assert trace.time_s.tolist() == [0, 10]
    assert trace.start == "2030-01-01T00:01:30"
    text = "timestamp,value\n2030-01-01 00:00:00,\n2030-01-01 00:01:00,4\n2030-01-01 00:02:00,5\n"
    series = counts(file(tmp_path, text))
    assert series.start == "2030-01-01 00:01:00"
    assert series.time_s.tolist() == [0, 60]
    assert "first_time_s" not in found(series)


@pytest.mark.parametrize(("minutes", "interval_s"), [(5, 300), (1, 60), (60, 3600)])
def test_a_count_series_tells_its_interval(tmp_path: Path, minutes: int, interval_s: int) -> None:
    times = [np.datetime64("2030-04-10T00:00:00") + np.timedelta64(minutes * i, "m") for i in (0, 1, 2, 4)]
    text = "timestamp,value\n" + "".join(f"{str(t).replace('T', ' ')},{10.0 * i}\n" for i, t in enumerate(times))
    series = counts(file(tmp_path, text))
    assert series.interval_s == interval_s
    assert series.count.tolist() == [0, 10, 20, 30]
    assert series.span_s == 5 * interval_s
    assert found(series)["intervals_absent"] == 1


def test_an_interval_told_twice_counts_once_and_half_a_request_not_at_all(tmp_path: Path) -> None:
    series = counts(file(tmp_path, "time_s,count\n0,5\n60,6\n60,7\n120,1.5\n180,8\n240,9\n"))
    assert dict(zip(series.time_s.tolist(), series.count.tolist(), strict=True)) == {0: 5, 60: 6, 180: 8, 240: 9}
    assert found(series) | {"times_repeated": 1, "counts_dropped": 1, "intervals_absent": 1} == found(series)


def test_an_interval_column_without_a_value_is_as_none(tmp_path: Path) -> None:
    assert counts(file(tmp_path, "time_s,count,interval_s\n0,5,\n60,6,\n")).interval_s == 60
    assert counts(file(tmp_path, "time_s,count,interval_s\n0,5,30\n60,6,\n")).interval_s == 30


def test_load_times_are_read_in_seconds_and_are_no_requests(tmp_path: Path) -> None:
    text = (
        "timestamp_anon,value,container_ip\n1600000000.0,2500.0,aa\n1600000060.0,NULL,NULL\n1600000090.0,40000.0,bb\n"
    )
    path = file(tmp_path, text)
    loads = read_load_times(path)
    assert loads.load_s.tolist() == [2.5, 40]
    assert loads.time_s.tolist() == [0, 90]
    assert loads.container is not None
    assert loads.container.texts() == ["aa", "bb"]
    assert found(loads)["load_s_missing"] == 1
    assert "read_load_times reads them" in refusal(path)
    assert read_load_times(file(tmp_path, "time_s,startup_s\n0,12\n9,14\n", "own.csv")).load_s.tolist() == [12, 14]


# What does no harm.

HARMLESS = {
    "gzip": lambda text: gzip.compress(text.encode()),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "blank lines": lambda text: ("\n" + text.replace("\n", "\n\n")).encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "column more": lambda text: text.replace("\n", ",x\n").encode(),
    "other order": lambda text: "\n".join(",".join(row.split(",")[::-1]) for row in text.split("\n")).encode(),
    "other case": lambda text: (text[: text.index("\n")].upper() + text[text.index("\n") :]).encode(),
    "quotes": lambda text: "\n".join(",".join(f'"{c}"' for c in row.split(",")) for row in text.split()).encode(),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_wrapping_and_order_of_columns_change_nothing(tmp_path: Path, change: str) -> None:
    (tmp_path / "changed.csv").write_bytes(HARMLESS[change](OURS))
    assert columns(requests(tmp_path / "changed.csv")) == columns(requests(file(tmp_path, OURS)))


@given(st.permutations(OURS.splitlines()[1:]))
def test_order_of_rows_changes_nothing(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    shuffled = requests(file(folder, "\n".join([OURS.splitlines()[0], *rows])))
    assert columns(shuffled) == columns(requests(file(folder, OURS, "sorted.csv")))


def test_rows_out_of_order_are_counted(tmp_path: Path) -> None:
    assert found(requests(file(tmp_path, "time_s\n0\n9\n5\n7\n3\n")))["rows_unsorted"] == 2


def test_a_bad_row_is_dropped_with_its_line(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_s,service_s\n0,1\n\nsoon,1\n2,1,9\n3,1\n,1\n4,1\n5,1\n"))
    assert trace.time_s.tolist() == [0, 3, 4, 5]
    [dropped] = [finding for finding in trace.findings if finding.name == "rows_dropped"]
    assert dropped.value == 3
    assert "line 4: 'soon' is neither" in dropped.text
    assert "line 5: 3 fields under 2 columns" in dropped.text


def test_a_bad_amount_is_unknown_and_its_request_stays(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, "time_s,service_s\n0,1\n1,\n2,fast\n3,-4\n4,inf\n5,NULL\n"))
    assert columns(trace)["service_s"] == [1, "nan", "nan", "nan", "nan", "nan"]
    assert found(trace) | {"service_s_missing": 2, "service_s_unreadable": 2, "service_s_negative": 1} == found(trace)


def test_a_bad_line_of_json_is_dropped_with_its_line(tmp_path: Path) -> None:
    row = '{"timestamp": %d, "input_length": 1, "output_length": 1}\n'
    trace = requests(file(tmp_path, row % 0 + '{"timest\n' + row % 1000 + "[]\n" + row % 2000, "a.jsonl"))
    assert trace.time_s.tolist() == [0, 1, 2]
    assert found(trace)["rows_dropped"] == 2


def test_the_step_of_a_coarse_clock_and_long_pauses_are_found(tmp_path: Path) -> None:
    times = [*range(100), 40, 41, 42, 400]
    trace = requests(file(tmp_path, "time_s\n" + "\n".join(map(str, times))))
    assert found(trace) | {"times_shared": 3, "clock_step_s": 1, "gaps": 1, "longest_gap_s": 301} == found(trace)
    assert clock_step_s(np.array([0.0, 0.31, 0.55])) is None


# What is refused, and how it is said.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "trace.csv: the file is empty"),
        ("time_s,service_s\n", "trace.csv: there is no row below the header"),
        ("[{}]", "trace.csv: is a JSON array; write one object a line instead"),
        ("when,what\n1,2\n", "trace.csv: columns when, what are none of the known formats: gentd26 (gmt_create"),
        ("time_s,version,version\n1,a,b\n", "trace.csv: column version is there 2 times; rename all but one"),
        ("version,time_s\na,now\n", "trace.csv:2:3: time_s: 'now' is neither seconds nor an ISO 8601 time; 1 of 1"),
        ('{"a": 2,\n "b": 3}', "trace.csv:1:1: row: no JSON"),
        ('{"version": "a", "time_s": null}\n', "trace.csv:1:18: time_s: '' is neither"),
        ("time_s\n1700000000000\n", "trace.csv:2:1: time_s: 1700000000000 s is beyond any calendar; name the column"),
        ('time_s,version\n1,a\n2,"b\n3,c\n', "trace.csv:3:1: row: a quote opened here is not closed on its line"),
        ("time_s,value\n0,0.5\n60,0.7\n", "trace.csv:2:3: count: '0.5' is no count; most are such"),
        ("time_s,value\n0,\nsoon,5\n", "trace.csv: no row has both a time and a value"),
        ("time_s,start\n0,soon\n", "trace.csv:2:3: start: 'soon' is no ISO 8601 time"),
        ("time_s,value\n0,5\n", "trace.csv:2:1: interval_s: one row does not tell its interval"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_place_and_way_out(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(file(tmp_path, text)).startswith(said)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(OURS.encode())[:-12])
    assert "gzip stream is damaged" in refusal(path)
    path.write_bytes(b"time_s\n1\xff\n")
    assert refusal(path) == "trace.csv.gz: byte 8 is not UTF-8; save the file as UTF-8"
    path.unlink()
    assert refusal(path) == "trace.csv.gz: no such file or directory"


def test_line_ends_and_blanks_in_a_name_are_one_blank() -> None:
    assert Labels.of([" a\r\nb", "a b", "n/a", ""]).texts() == ["a b", "a b", "", ""]


def test_times_that_go_back_make_no_trace() -> None:
    with pytest.raises(ValueError, match="must start at 0 and never decrease"):
        Trace(name="t", format="made", time_s=np.array([0.0, 2.0, 1.0]))
    with pytest.raises(ValueError, match="1 entries for 2 requests"):
        Trace(name="t", format="made", time_s=np.array([0.0, 2.0]), service_s=np.array([1.0]))


# What is written comes back.

amount = st.floats(0, 1e12, allow_subnormal=True) | st.just(float("nan"))
label = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    n = draw(st.integers(1, 8))
    gaps = draw(st.lists(st.floats(0, 1e6), min_size=n - 1, max_size=n - 1))

    def column(values: st.SearchStrategy[object], dtype: type) -> np.ndarray | None:
        return draw(st.none() | st.lists(values, min_size=n, max_size=n).map(lambda rows: np.array(rows, dtype)))

    labels = st.none() | st.lists(label, min_size=n, max_size=n).map(Labels.of)
    return Trace(
        name="made",
        format="made",
        time_s=np.cumsum([0.0, *gaps]),
        start=draw(st.sampled_from([None, "2030-01-01T00:00:00", "2030-06-01 07:30:00.25+02:00"])),
        version=draw(labels),
        request_class=draw(labels),
        service_s=column(amount, float),
        patience_s=column(amount, float),
        context_tokens=column(amount, float),
        generated_tokens=column(amount, float),
    )


@given(traces(), st.sampled_from(["t.csv", "t.csv.gz"]))
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, trace: Trace, name: str
) -> None:
    path = tmp_path_factory.mktemp("written") / name
    write_trace(path, trace)
    assert columns(requests(path)) == columns(trace)
    assert requests(path).format == "poolwright"


@given(st.dictionaries(st.integers(1, 50), st.integers(0, 10**12)), st.floats(1e-3, 1e6), st.integers(0, 9))
def test_counts_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[int, int], interval_s: float, first: int
) -> None:
    rows = {0: first, **dict(sorted(rows.items()))}
    time_s = np.array(list(rows)) * interval_s
    series = Counts(name="c", format="c", time_s=time_s, count=np.array(list(rows.values())), interval_s=interval_s)
    path = tmp_path_factory.mktemp("written") / "c.csv"
    write_trace(path, series)
    assert columns(counts(path)) == columns(series)


def test_failures_are_read_back_and_stay_failures(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, GENTD26))
    write_trace(tmp_path / "again.csv", trace)
    assert columns(requests(tmp_path / "again.csv")) == columns(trace)


def test_the_same_trace_gives_the_same_bytes_and_leaves_nothing_beside(tmp_path: Path) -> None:
    trace = requests(file(tmp_path, OURS))
    write_trace(tmp_path / "a.csv.gz", trace)
    write_trace(tmp_path / "b.csv.gz", trace)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    no_time_of_writing = (tmp_path / "a.csv.gz").read_bytes()[4:8]
    assert no_time_of_writing == bytes(4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "b.csv.gz", "trace.csv"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_trace(tmp_path / "taken.csv", requests(file(tmp_path, OURS)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken.csv", "trace.csv"]


def test_tokens_become_seconds() -> None:
    seconds = service_from_tokens(np.array([1000.0, np.nan]), np.array([33.0, 1.0]))
    assert seconds[0] == pytest.approx(0.05 + 0.1 + 1.0)
    assert np.isnan(seconds[1])


# The public traces themselves, where they have been fetched.


@pytest.mark.parametrize(
    ("name", "form", "rows", "span_s"),
    [
        ("alibaba_gentd26_requests.csv.gz", "gentd26", 15_630, 1_407_720),
        ("azure_llm_2023_conv.csv.gz", "azure_llm", 19_366, 3501.721937),
        ("mooncake_conversation.jsonl.gz", "mooncake", 12_031, 3536.999),
        ("nab_elb_request_count.csv.gz", "counts", 4_032, 1_212_000),
    ],
)
def test_public_traces_are_known_by_their_columns(name: str, form: str, rows: int, span_s: float) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"the public trace {name} is not beside the repository")
    trace = read_trace(SHARED / name)
    assert (trace.format, len(trace.time_s)) == (form, rows)
    assert trace.span_s == pytest.approx(span_s, abs=1e-6)
    assert "rows_dropped" not in found(trace)
