"""What pandas, polars, DuckDB and pyarrow read of the files in cases.json, each with its defaults.

    python -m venv venv && venv/bin/pip install pandas polars duckdb pyarrow
    venv/bin/python read.py      # writes readings.json beside it

A reading is {"columns": [[name, type], ...], "rows": [[value, ...], ...]} or {"error": its first line}. Types are
named as pipe names them; what pipe has no name for (dates, decimals) keeps the tool's. Not-a-numbers are the
text "NaN"."""

import base64
import datetime
import decimal
import io
import json
import math
import pathlib
import tempfile

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.json

HERE = pathlib.Path(__file__).parent
TOOLS = {"pandas": pandas, "polars": polars, "duckdb": duckdb, "pyarrow": pyarrow}


def kind(arrow_type):
    t = pyarrow.types
    if t.is_null(arrow_type):
        return "null"
    if t.is_boolean(arrow_type):
        return "bool"
    if t.is_integer(arrow_type):
        return "int"
    if t.is_floating(arrow_type):
        return "float"
    if t.is_string(arrow_type) or t.is_large_string(arrow_type) or t.is_string_view(arrow_type):
        return "string"
    if t.is_list(arrow_type) or t.is_large_list(arrow_type):
        return f"[{kind(arrow_type.value_type)}]"
    if t.is_struct(arrow_type):
        return "{" + ", ".join(f"{f.name}: {kind(f.type)}" for f in arrow_type) + "}"
    return str(arrow_type)


def plain(value):
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, "NaN")
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime, decimal.Decimal)):
        return str(value)
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return f"integer {value}"
    return value


def of_arrow(table):
    columns = [[f.name, kind(f.type)] for f in table.schema]
    return {"columns": columns, "rows": [[plain(row[f.name]) for f in table.schema] for row in table.to_pylist()]}


def of_pandas(frame):
    """Missing numbers are NaN to pandas, which has no other word; whole columns of Python objects keep theirs."""
    names = {"int64": "int", "float64": "float", "bool": "bool", "uint64": "int"}
    of = lambda t: names.get(str(t), "string" if str(t) in ("str", "object") else str(t))
    columns = [[str(n), of(t)] for n, t in frame.dtypes.items()]
    rows = []
    for row in frame.itertuples(index=False, name=None):
        missing = lambda v: v is pandas.NaT or (isinstance(v, float) and math.isnan(v))
        rows.append([None if missing(v) else plain(getattr(v, "item", lambda v=v: v)()) for v in row])
    return {"columns": columns, "rows": rows}


def read(tool, path):
    form = path.name.split(".")[1]
    if tool == "pandas":
        if form == "jsonl":
            return of_pandas(pandas.read_json(path, lines=True))
        return of_pandas(pandas.read_csv(path, sep="\t" if form == "tsv" else ","))
    if tool == "polars":
        if form == "jsonl":
            return of_arrow(polars.read_ndjson(path).to_arrow())
        return of_arrow(polars.read_csv(path, separator="\t" if form == "tsv" else ",").to_arrow())
    if tool == "duckdb":
        function = "read_json" if form == "jsonl" else "read_csv"
        return of_arrow(duckdb.connect().sql(f"select * from {function}('{path}')").to_arrow_table())
    if form == "jsonl":
        return of_arrow(pyarrow.json.read_json(path))
    options = pyarrow.csv.ParseOptions(delimiter="\t" if form == "tsv" else ",", newlines_in_values=True)
    return of_arrow(pyarrow.csv.read_csv(path, parse_options=options))


def main():
    readings = {"versions": {name: module.__version__ for name, module in TOOLS.items()}}
    with tempfile.TemporaryDirectory() as folder:
        for case in json.loads((HERE / "cases.json").read_text()):
            path = pathlib.Path(folder) / case["file"]
            path.write_bytes(base64.b64decode(case["base64"]) if "base64" in case else case["text"].encode())
            readings[case["name"]] = {}
            for tool in TOOLS:
                try:
                    reading = read(tool, path)
                except BaseException as error:  # polars panics where it cannot hand a name over
                    reading = {"error": str(error).strip().split("\n")[0].replace(folder + "/", "")[:120]}
                readings[case["name"]][tool] = reading
    text = io.StringIO()
    text.write("{\n")
    for i, (name, reading) in enumerate(readings.items()):
        text.write(f"{',' if i else ''}{json.dumps(name)}: {{\n" if isinstance(reading, dict) else "")
        lines = [f"  {json.dumps(tool)}: {json.dumps(value, ensure_ascii=False)}" for tool, value in reading.items()]
        text.write(",\n".join(lines) + "\n}\n")
    text.write("}\n")
    (HERE / "readings.json").write_text(text.getvalue())


if __name__ == "__main__":
    main()
