"""Random steps of the kind `select` against pandas and DuckDB; run by hand.

    pip install pandas==2.* pyarrow duckdb && python check_select.py path/to/pipe [rounds]

Every stage takes one to five random steps. Each step is also taken by pandas, or by DuckDB where it is SQL (filters,
computed columns, joins), and rows and their order must be the same.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import duckdb
import pandas as pd
import pyarrow.parquet as pq

WORDS = ["", " ", "a", "b", "Ab", "é", "z z", "10", "9"]


def table(rng, rows):
    def row(i):
        return {
            "id": f"r{i}",
            "k": rng.choice([None, 0, 1, 2, 3]),
            "x": rng.choice([None, -1.5, 0.0, 2.25, 1e9]),
            "t": rng.choice([None, *WORDS]),
        }
    return [row(i) for i in range(rows)]


def frame(rows):
    kinds = {"id": "object", "k": "Int64", "x": "Float64", "t": "object"}
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=kinds[name]) for name in kinds})


def sql(df, text, **others):
    """Runs SQL over `df` (with its order in `_at`) and the others; in the order of `_at`."""
    con = duckdb.connect()
    con.register("df", df.reset_index(drop=True).reset_index(names="_at"))
    for name, other in others.items():
        con.register(name, other.reset_index(drop=True).reset_index(names="_other"))
    made = con.execute(text).df()
    order = [name for name in ("_at", "_other") if name in made.columns]
    made = made.sort_values(order, kind="stable", na_position="first")
    return made.drop(columns=[c for c in ("_at", "_other") if c in made.columns]).reset_index(drop=True)


def filtered(rng, df, _):
    name = rng.choice([c for c in ("k", "x") if c in df.columns] or [None])
    if name is None:
        return None
    bound, op = rng.choice([0, 1, 2]), rng.choice(["<", ">=", "==", "!="])
    step = {"filter": f"{name} is not none and {name} {op} {bound}"}
    return step, sql(df, f"select * from df where {name} is not null and {name} {op.replace('==', '=')} {bound}")


def in_list(rng, df, _):
    if "t" not in df.columns:
        return None
    wanted = rng.sample(WORDS, 3)
    listed = ", ".join(f"'{w}'" for w in wanted)
    return {"filter": f"t in [{listed}]"}, sql(df, f"select * from df where t in ({listed})")


def kept(rng, df, _):
    names = rng.sample(list(df.columns), rng.randint(1, len(df.columns)))
    return {"keep": names}, df[names]


def dropped(rng, df, _):
    if len(df.columns) < 2:
        return None
    name = rng.choice(list(df.columns))
    return {"drop": [name]}, df.drop(columns=[name])


def made(rng, df, _):
    if "k" not in df.columns or "t" not in df.columns:
        return None
    step = {"set": {"m": "none if k is none else k * 2 + 1", "u": "(t or 'none')|length", "c": 7}}
    out = sql(df, "select *, k * 2 + 1 as m, case when t is null or t = '' then 4 else length(t) end as u, 7 as c from "
                  "(select * exclude (m, u, c) from (select *, 0 as m, 0 as u, 0 as c from "
                  f"(select {', '.join(['_at', *[c for c in df.columns if c not in ('m', 'u', 'c')]])} from df)))")
    # What is there keeps its place; what is new stands behind, by name.
    new = sorted(name for name in ("m", "u", "c") if name not in df.columns)
    return step, out[[*df.columns, *new]]


def emptied(rng, df, _):
    name = rng.choice(list(df.columns))
    empty = df[name].isna()
    if not pd.api.types.is_numeric_dtype(df[name]):
        empty = empty | df[name].map(lambda v: isinstance(v, str) and v.strip() == "")
    return {"drop_empty": [name]}, df[~empty]


def distinct(rng, df, _):
    names = rng.sample(list(df.columns), rng.randint(1, len(df.columns)))
    return {"distinct": names}, df.drop_duplicates(subset=names, keep="first")


def sort(rng, df, _):
    names = rng.sample(list(df.columns), rng.randint(1, len(df.columns)))
    up = [rng.random() < 0.5 for _ in names]
    by = [name if way else {name: "desc"} for name, way in zip(names, up)]
    return {"sort": by}, df.sort_values(names, ascending=up, kind="stable", na_position="last")


def limited(rng, df, _):
    n = rng.randint(0, 30)
    return {"limit": n}, df.head(n)


def joined(rng, df, other):
    if "k" not in df.columns or "tag" in df.columns:
        return None
    how = rng.choice(["inner", "left", "anti"])
    step = {"join": {"on": {"k": "key"}, "how": how, "columns": ["tag"], "many": True}}
    if how == "anti":
        return step, sql(df, "select df.* from df anti join other on df.k = other.key", other=other)
    text = f"select df.*, other.tag, other._other from df {how} join other on df.k = other.key"
    return step, sql(df, text, other=other)


def appended(rng, df, other):
    return {"concatenate": "fill"}, pd.concat([df, other], ignore_index=True)


STEPS = [filtered, in_list, kept, dropped, made, emptied, distinct, sort, limited, joined, appended]


def plain(df):
    def value(v):
        if v is None or v is pd.NA or (isinstance(v, float) and v != v):
            return None
        v = v.item() if hasattr(v, "item") else v
        return float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v
    return [list(df.columns), [[value(v) for v in row] for row in df.itertuples(index=False, name=None)]]


def main(pipe, rounds):
    rng = random.Random(rounds)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = table(rng, 40)
        other_rows = [{"key": k, "tag": tag} for k, tag in [(2, "b"), (0, "a"), (None, "n"), (2, "c"), (7, "z")]]
        for name, data in (("rows", rows), ("other", other_rows)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
        other = pd.DataFrame({"key": pd.Series([r["key"] for r in other_rows], dtype="Int64"),
                              "tag": pd.Series([r["tag"] for r in other_rows], dtype="object")})
        stages = {name: {"kind": "table", "params": {"path": f"{name}.jsonl"}} for name in ("rows", "other")}
        expected, used = {}, {}
        for at in range(rounds):
            df, steps = frame(rows), []
            while len(steps) < rng.randint(1, 5):
                taken = rng.choice(STEPS)(rng, df, other)
                if taken is not None:
                    steps.append(taken[0])
                    df = taken[1].reset_index(drop=True)
                    used[next(iter(taken[0]))] = used.get(next(iter(taken[0])), 0) + 1
            inputs = {"rows": "rows", "other": "other"}
            stages[f"s{at}"] = {"kind": "select", "inputs": inputs, "params": {"steps": steps}}
            expected[f"s{at}"] = df
        (folder / "p.yaml").write_text(json.dumps({"pipeline": "p", "stages": stages}))
        ran = subprocess.run([pipe, "run", "p.yaml"], cwd=folder, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        wrong = 0
        for name, df in expected.items():
            tables = (folder / "results").rglob("*.parquet")
            found = next(path for path in tables if name in (path.stem, path.parent.name))
            got, want = plain(pq.read_table(found).to_pandas(types_mapper={}.get)), plain(df)
            if got != want:
                wrong += 1
                print(name, json.dumps(stages[name]["params"]["steps"]), "\n got ", got, "\n want", want)
        print(f"{rounds} stages, {sum(used.values())} steps {used}: {wrong} differ")
        return wrong


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 200) > 0)
