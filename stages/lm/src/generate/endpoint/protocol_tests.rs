use super::*;
use crate::chat::Message;

fn config(server: Server) -> EndpointConfig {
    EndpointConfig::new("http://localhost/v1", "m", server)
}

fn params() -> SamplingParams {
    SamplingParams {
        temperature: 0.5,
        top_p: 0.75,
        stop: vec!["\n".to_owned()],
        max_new_tokens: 9,
        logprobs: true,
        ..SamplingParams::default()
    }
}

#[test]
fn completions_for_each_server() {
    let request = Request::text("r", "Once");
    let seed = RowRandom::new(&[0; 32], "r").server_seed();
    let common = json!({
        "model": "m", "prompt": "Once", "max_tokens": 9, "temperature": 0.5, "top_p": 0.75, "stream": false,
        "stop": ["\n"], "seed": seed, "logprobs": 1,
    });
    let cases = [
        (Server::OpenAi, json!({})),
        (Server::Ollama, json!({})),
        (Server::LlamaCpp, json!({ "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0 })),
        (
            Server::Vllm,
            json!({
                "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": false,
            }),
        ),
    ];
    for (server, own) in cases {
        let call = call(&config(server), &request, &params());
        let mut expected = common.as_object().unwrap().clone();
        expected.extend(own.as_object().unwrap().clone());
        assert_eq!((call.path, call.body), ("completions", Value::Object(expected)));
    }
}

#[test]
fn conversations_go_to_chat_completions() {
    let chat = Request { id: "r".to_owned(), prompt: Prompt::Chat(vec![Message::new("user", "Hi")]) };
    let from_chat = call(&config(Server::OpenAi), &chat, &params());
    let as_chat = EndpointConfig { text_as_chat: true, ..config(Server::OpenAi) };
    let from_text = call(&as_chat, &Request::text("r", "Hi"), &params());
    assert_eq!(from_chat, from_text);
    assert_eq!(from_chat.path, "chat/completions");
    assert_eq!(from_chat.body["messages"], json!([{ "role": "user", "content": "Hi" }]));
    assert_eq!(from_chat.body["logprobs"], json!(true));
}

#[test]
fn greedy_rows_carry_no_seed_and_extra_keys_win() {
    let mut config = config(Server::OpenAi);
    config.extra.insert("top_p".to_owned(), json!(0.1));
    let body = call(&config, &Request::text("r", "Hi"), &SamplingParams::default()).body;
    assert_eq!((body.get("seed"), &body["top_p"]), (None, &json!(0.1)));
}

#[test]
fn unknown_parameters_are_refused_before_anything_is_sent() {
    let top_k = SamplingParams { top_k: 5, ..SamplingParams::default() };
    assert!(check(&config(Server::Vllm), &top_k).is_ok());
    let error = check(&config(Server::Ollama), &top_k).unwrap_err().to_string();
    assert_eq!(error, "use `top_k` with Ollama: its OpenAI-compatible interface has no such parameter");
}

#[expect(clippy::needless_pass_by_value, reason = "callers write literals")]
fn read_with(body: Value, change: impl FnOnce(&mut SamplingParams)) -> Result<Completion, Damage> {
    let mut params = SamplingParams::default();
    change(&mut params);
    read(&body.to_string(), "r", &params)
}

#[test]
fn finish_reasons() {
    let answer = |finish: Value, stop_reason: Option<Value>| {
        let mut choice = json!({ "text": "x", "finish_reason": finish });
        if let Some(reason) = stop_reason {
            choice["stop_reason"] = reason;
        }
        json!({ "choices": [choice] })
    };
    let stop = |p: &mut SamplingParams| p.stop = vec!["\n".to_owned()];
    let finish = |body, change: fn(&mut SamplingParams)| read_with(body, change).map(|c| c.finish);
    assert_eq!(finish(answer(json!("length"), None), |_| {}), Ok(FinishReason::Length));
    assert_eq!(finish(answer(json!("stop"), None), |_| {}), Ok(FinishReason::Eos));
    assert_eq!(finish(answer(json!("stop"), None), stop), Ok(FinishReason::Stop));
    assert_eq!(finish(answer(json!("stop"), Some(Value::Null)), stop), Ok(FinishReason::Eos));
    assert_eq!(finish(answer(json!("stop"), Some(json!("\n"))), stop), Ok(FinishReason::Stop));
    assert_eq!(finish(answer(json!("content_filter"), None), stop), Ok(FinishReason::Refused));
    assert_eq!(finish(answer(json!("abort"), None), |_| {}), Err(Damage::Row("its finish_reason is abort".into())));
    assert!(matches!(finish(answer(json!("banana"), None), |_| {}), Err(Damage::Answer(_))));
    // What servers behind the same interface say.
    for (says, expect) in [
        (json!("eos_token"), FinishReason::Eos),
        (json!("eos"), FinishReason::Eos),
        (json!("end"), FinishReason::Eos),
        (json!("end_turn"), FinishReason::Eos),
        (json!("STOP"), FinishReason::Eos),
        (Value::Null, FinishReason::Eos),
        (json!("model_length"), FinishReason::Length),
        (json!("max_tokens"), FinishReason::Length),
        (json!("MAX_TOKENS"), FinishReason::Length),
        (json!("stop_sequence"), FinishReason::Stop),
        (json!("SAFETY"), FinishReason::Refused),
    ] {
        assert_eq!(finish(answer(says.clone(), None), |_| {}), Ok(expect), "{says}");
    }
    let mut full = answer(Value::Null, None);
    full["usage"] = json!({ "completion_tokens": 9.0 });
    assert_eq!(finish(full, |p| p.max_new_tokens = 9), Ok(FinishReason::Length));
}

/// As the local backend does, whether or not the server knows `stop`.
#[test]
fn a_text_ends_at_the_first_stop_string() {
    let text = |finish: &str, text: &str, stop: &[&str]| {
        let body = json!({ "choices": [{ "message": { "content": text }, "finish_reason": finish }] });
        let stop = stop.iter().map(|s| (*s).to_owned()).collect();
        read_with(body, |p| p.stop = stop).map(|c| (c.text, c.finish)).unwrap()
    };
    let cut = |t: &str| (t.to_owned(), FinishReason::Stop);
    assert_eq!(text("stop", "one\ntwo", &["\n"]), cut("one"));
    assert_eq!(text("length", "one###two\n", &["\n", "###"]), cut("one"));
    assert_eq!(text("eos_token", "\nanswer", &["\n"]), cut(""));
    assert_eq!(text("length", "one", &["\n"]), ("one".to_owned(), FinishReason::Length));
    assert_eq!(text("content_filter", "I\nwon't", &["\n"]), ("I\nwon't".to_owned(), FinishReason::Refused));
}

#[test]
fn content_in_parts_and_counts_of_any_form_are_read() {
    let body = json!({
        "choices": [{ "finish_reason": "stop", "message": { "content": [
            { "type": "thinking", "thinking": [{ "type": "text", "text": "Hm." }] },
            { "type": "text", "text": "It is " }, "so", { "text": "." }, { "type": "image_url", "text": "no" },
        ] } }],
        "usage": { "prompt_tokens": 3.0, "completion_tokens": null },
    });
    let completion = read_with(body, |_| {}).unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("It is so.", FinishReason::Eos));
    assert_eq!(completion.usage, Usage { prompt_tokens: 3, completion_tokens: 0 });
    let body = json!({ "choices": [{ "finish_reason": "stop", "text": "x" }], "usage": null });
    assert_eq!(read_with(body, |_| {}).unwrap().usage, Usage::default());
}

#[test]
fn what_concerns_one_row_alone_is_its_outcome() {
    for (status, body, expect) in [
        (400, json!({ "error": { "code": "content_filter" } }), Some(FinishReason::Refused)),
        (400, json!({ "error": { "code": "context_length_exceeded", "message": "x" } }), Some(FinishReason::TooLong)),
        (400, json!({ "error": { "type": "exceed_context_size_error" } }), Some(FinishReason::TooLong)),
        (400, json!({ "message": "This model's maximum context length is 8 tokens" }), Some(FinishReason::TooLong)),
        (
            400,
            json!({ "error": { "message": "the model's context length is only 8 tokens" } }),
            Some(FinishReason::TooLong),
        ),
        (
            400,
            json!({ "message": "The prompt is longer than the maximum model length of 8." }),
            Some(FinishReason::TooLong),
        ),
        (400, json!({ "error": { "code": "invalid_model" } }), None),
        (404, json!({ "error": { "code": "context_length_exceeded" } }), None),
    ] {
        assert_eq!(row_refused(status, &body.to_string()), expect, "{body}");
    }
}

#[test]
fn a_key_that_is_null_is_taken_away() {
    let mut config = config(Server::OpenAi);
    config.extra.insert("max_tokens".to_owned(), Value::Null);
    config.extra.insert("max_completion_tokens".to_owned(), json!(9));
    config.extra.insert("not_there".to_owned(), Value::Null);
    let body = call(&config, &Request::text("r", "Hi"), &params()).body;
    assert_eq!((body.get("max_tokens"), &body["max_completion_tokens"]), (None, &json!(9)));
    assert_eq!(body.get("not_there"), None);
    assert_eq!(body["temperature"], json!(0.5));
}

/// What will be the same at every attempt is no damaged answer.
#[test]
fn answers_without_content_are_completions() {
    let read = |finish: &str, message: Value| {
        let body = json!({ "choices": [{ "message": message, "finish_reason": finish, "logprobs": null }] });
        read_with(body, |_| {}).map(|c| (c.finish, c.text))
    };
    let ok = |finish, text: &str| Ok((finish, text.to_owned()));
    let thoughts = json!({ "role": "assistant", "content": null, "reasoning_content": "Let me see. The" });
    assert_eq!(read("length", thoughts.clone()), ok(FinishReason::Length, ""));
    assert_eq!(read("stop", thoughts), ok(FinishReason::Eos, ""));
    assert_eq!(read("tool_calls", json!({ "content": null, "tool_calls": [] })), ok(FinishReason::Eos, ""));
    assert_eq!(read("stop", json!({ "content": null, "refusal": "I won't." })), ok(FinishReason::Refused, "I won't."));
    assert_eq!(read("stop", json!({ "content": "Yes.", "refusal": null })), ok(FinishReason::Eos, "Yes."));
    assert_eq!(read("content_filter", json!({ "content": "The first" })), ok(FinishReason::Refused, "The first"));
    assert_eq!(read("content_filter", json!({ "role": "assistant" })), ok(FinishReason::Refused, ""));
    let withheld = json!({ "choices": [{ "message": {}, "finish_reason": "content_filter" }] });
    assert_eq!(read_with(withheld, |p| p.logprobs = true).map(|c| c.logprobs), Ok(None));
    assert!(read_with(json!({ "choices": [{ "finish_reason": "stop" }] }), |_| {}).is_err());
}

/// As vLLM, OpenRouter, Ollama and Mistral tell thoughts apart, each with the answer beside them.
#[test]
fn thoughts_are_kept_beside_the_answer() {
    let read = |message: Value| {
        let body = json!({ "choices": [{ "message": message, "finish_reason": "stop" }] });
        read_with(body, |_| {}).map(|c| (c.thoughts, c.text)).unwrap()
    };
    let both = (Some("It shines.".to_owned()), "gold".to_owned());
    assert_eq!(read(json!({ "content": "gold", "reasoning_content": "It shines." })), both);
    assert_eq!(read(json!({ "content": "gold", "reasoning_content": null, "reasoning": "It shines." })), both);
    assert_eq!(read(json!({ "content": "gold", "thinking": "It shines." })), both);
    assert_eq!(read(json!({ "content": "gold", "reasoning": { "summary": [{ "text": "It shines." }] } })), both);
    let parts = json!([
        { "type": "thinking", "thinking": [{ "type": "text", "text": "It " }, { "type": "text", "text": "shines." }] },
        { "type": "text", "text": "gold" },
    ]);
    assert_eq!(read(json!({ "content": parts })), both);
    let none = (None, "gold".to_owned());
    for empty in [json!(null), json!(""), json!([]), json!({}), json!(7)] {
        assert_eq!(read(json!({ "content": "gold", "reasoning_content": empty, "reasoning": empty })), none);
    }
    assert_eq!(read(json!({ "content": null, "reasoning": "It" })), (Some("It".to_owned()), String::new()));
    // A stop string ends the answer, not the thought.
    let body = json!({ "choices": [{ "finish_reason": "stop",
        "message": { "content": "go\nld", "reasoning": "a\nb" } }] });
    let stopped = read_with(body, |p| p.stop = vec!["\n".to_owned()]).unwrap();
    assert_eq!((stopped.thoughts.as_deref(), &*stopped.text), (Some("a\nb"), "go"));
}

#[test]
fn usage_and_logprobs_of_both_interfaces() {
    let plain = json!({
        "choices": [{ "text": "ab", "finish_reason": "length",
                      "logprobs": { "token_logprobs": [-0.5, -1.5], "tokens": ["a", "b"] } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    let chat = json!({
        "choices": [{ "message": { "role": "assistant", "content": "ab" }, "finish_reason": "length",
                      "logprobs": { "content": [{ "logprob": -0.5 }, { "logprob": -1.5 }] } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    let (plain, chat) = (read_with(plain, |p| p.logprobs = true), read_with(chat, |p| p.logprobs = true));
    assert_eq!(plain, chat);
    let completion = plain.unwrap();
    assert_eq!(completion.logprobs, Some(vec![-0.5, -1.5]));
    assert_eq!(completion.usage, Usage { prompt_tokens: 3, completion_tokens: 2 });
    assert!(
        read_with(json!({ "choices": [{ "text": "", "finish_reason": "length" }] }), |p| p.logprobs = true).is_err()
    );
    assert!(read_with(json!({ "choices": [] }), |_| {}).is_err());
}
