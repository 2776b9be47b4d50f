//! Names of parameters of tables, retrieval, exams and programs.

use pipe_engine::kind::Synonym;

use super::{absent, also};

pub(super) const NAMES: &[Synonym] = &[
    // Evaluation.
    also(&["n_shot", "n_shots", "num_shots", "nshot", "shots"], &["num_fewshot", "num_demonstrations"]),
    also(&["fewshot_seed", "fewshot_random_seed"], &["fewshot_seed", "seed"]),
    also(&["bootstrap_iters", "n_resamples"], &["bootstrap: { resamples: <10000> }"]),
    also(&["metric", "metric_list", "eval_metrics"], &["metrics: [<token_f1>]"]),
    absent(&["tasks", "task", "benchmark"], "the exam is the input `items`: a table with `instruction` and `output`"),
    // Tables and retrieval.
    also(&["data_files", "file", "files", "filename", "data_path", "dataset", "dataset_name", "data"], &["path"]),
    absent(&["split", "dataset_split", "name", "subset"], "name the files of the split under `path`"),
    absent(&["dataset_prepared_path", "cache_dir"], "what is read is kept in the store"),
    absent(&["datasets"], "data comes in by the stage's inputs: a `table` stage reads files"),
    also(&["max_samples", "max_rows", "nrows", "n_rows", "limit_rows"], &["limit"]),
    also(&["rename_columns", "column_names"], &["rename"]),
    also(&["dtypes", "dtype", "column_types"], &["schema"]),
    absent(&["max_samples", "limit"], "a `table` stage has `limit`, and `seed_subset` has `count`"),
    also(&["sep", "separator", "delimiter"], &["delimiter", "format: tsv"]),
    absent(&["encoding"], "files are in UTF-8: `iconv -f latin1 -t utf-8` makes them so"),
    also(&["usecols", "select_columns"], &["columns"]),
    also(&["index_col"], &["id"]),
    also(&["type", "formatting", "dataset_format", "dataset_type", "conversation"], &["shape"]),
    also(&["chunk_size", "max_chars", "max_words"], &["chunk: { size: <200> }"]),
    also(&["chunk_overlap"], &["chunk: { overlap: <40> }"]),
    also(&["quotechar", "quote_char", "quoting"], &["quotes"]),
    also(&["na_values", "null_values", "missing_values"], &["nulls"]),
    also(&["names", "has_header"], &["header"]),
    also(&["k", "n_results", "num_results", "top_n", "similarity_top_k"], &["top_k"]),
    also(&["embedding_model", "encoder", "embed_model"], &["embedder"]),
    also(&["search_type", "retriever"], &["method"]),
    // Programs.
    also(&["cmd", "command", "args"], &["argv", "shell"]),
    also(&["script", "bash"], &["shell"]),
    also(&["deps", "dependencies"], &["sources"]),
    also(&["outs", "output"], &["outputs"]),
    also(&["environment", "env_vars"], &["env"]),
    absent(&["cwd", "wdir", "workdir"], "a program runs in the folder of the file that `argv` is written in"),
    absent(&["inputs"], "`inputs` stands beside `params`, not in it"),
];
