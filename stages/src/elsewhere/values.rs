//! Words that values are given in elsewhere.

use pipe_engine::kind::Synonym;

use super::also;

pub(super) const NAMES: &[Synonym] = &[
    // Metrics.
    also(&["f1", "squad_f1", "f1_score", "tokenf1"], &["token_f1"]),
    also(&["rougel", "rouge", "rougelsum", "rouge_score"], &["rouge_l"]),
    also(&["em", "exact", "exactmatch", "quasi_exact_match"], &["exact_match"]),
    also(&["contains_match", "includes", "substring"], &["contains"]),
    also(&["list_f1", "samples_f1", "entity_f1"], &["set_f1"]),
    also(&["number_match", "numerical_match", "numeric", "math_equal"], &["numeric_match"]),
    // Training.
    also(&["constant_with_warmup"], &["constant"]),
    also(&["cosine_with_restarts", "cosine_with_min_lr", "cosine_annealing"], &["cosine"]),
    also(&["polynomial"], &["linear"]),
    also(&["adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_bnb_8bit", "paged_adamw_32bit"], &["adamw"]),
    also(&["qlora", "peft"], &["lora"]),
    also(&["4bit", "bnb", "bitsandbytes", "fp4", "int4"], &["nf4"]),
    // Files and servers.
    also(&["fp16", "half", "f16"], &["float16"]),
    also(&["fp32", "f32", "float"], &["float32"]),
    also(&["bf16"], &["bfloat16"]),
    also(&["hf", "safetensors", "transformers"], &["hugging_face"]),
    also(&["openai", "oai", "tgi", "sglang", "lmstudio"], &["open_ai"]),
    also(&["llamacpp", "llama.cpp", "llama_cpp_python"], &["llama_cpp"]),
    also(&["json_lines", "ndjson"], &["jsonl"]),
    also(&["sparse", "lexical", "tfidf"], &["bm25"]),
    also(&["semantic", "embedding", "vector"], &["dense"]),
    also(&["str", "text", "object"], &["string"]),
    also(&["integer", "int64"], &["int"]),
    also(&["number", "float64", "double"], &["float"]),
    also(&["boolean"], &["bool"]),
];
