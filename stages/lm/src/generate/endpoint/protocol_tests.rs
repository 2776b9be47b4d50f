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
                "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": false, "stop_token_ids": [],
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
fn read_with(body: Value, change: impl FnOnce(&mut SamplingParams)) -> Result<Completion, String> {
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
    assert!(finish(answer(json!("abort"), None), |_| {}).unwrap_err().contains("abort"));
    assert!(finish(answer(Value::Null, None), |_| {}).unwrap_err().contains("missing"));
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
