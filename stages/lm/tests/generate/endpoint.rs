use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pipe_lm::{
    chat::Message,
    generate::{
        Backend, Completion, FinishReason, GenerateError, Prompt, Request, SamplingParams, Usage,
        endpoint::{ApiKey, Endpoint, EndpointConfig, EndpointError, Server},
    },
};

use crate::{
    common::{one, run},
    fake_server::{FakeServer, Reply},
};

fn endpoint(server: &FakeServer, change: impl FnOnce(&mut EndpointConfig)) -> Endpoint {
    let mut config = EndpointConfig::new(&server.url, "m", Server::OpenAi);
    config.backoff = Duration::from_millis(5);
    config.timeout = Duration::from_secs(5);
    change(&mut config);
    Endpoint::new(config).unwrap()
}

fn ask(endpoint: &Endpoint) -> Result<BTreeMap<String, Completion>, GenerateError> {
    run(endpoint, vec![Request::text("r", "Hi")], &SamplingParams::default())
}

#[test]
fn a_row_goes_out_and_comes_back() {
    let server = FakeServer::start(|_| Reply::says("Ho"));
    let endpoint = endpoint(&server, |c| c.api_key = Some(ApiKey::new(" secret\n")));
    let expected = Completion {
        id: "r".to_owned(),
        text: "Ho".to_owned(),
        thoughts: None,
        tokens: vec![],
        logprobs: None,
        finish: FinishReason::Eos,
        usage: Usage { prompt_tokens: 3, completion_tokens: 2 },
    };
    assert_eq!(ask(&endpoint).unwrap()["r"], expected);
    let arrived = server.arrived();
    assert_eq!((arrived.len(), arrived[0].path.as_str()), (1, "/v1/completions"));
    assert_eq!(arrived[0].authorization.as_deref(), Some("Bearer secret"));
}

/// Each fault happens twice and then no more.
#[test]
fn passing_faults_are_tried_again() {
    let faults = [
        Reply::status(429, "slow down"),
        Reply::status(500, "oops"),
        Reply::status(503, "loading"),
        Reply::status(200, "<html>not JSON"),
        Reply::status(200, r#"{"choices": []}"#),
        Reply::Cut,
        Reply::Late(Duration::from_millis(400), Box::new(Reply::says("too late"))),
    ];
    for fault in faults {
        let now = fault.clone();
        let server = FakeServer::start(move |r| if r.earlier < 2 { now.clone() } else { Reply::says("Ho") });
        let endpoint = endpoint(&server, |c| c.timeout = Duration::from_millis(200));
        assert_eq!(ask(&endpoint).unwrap()["r"].text, "Ho", "{fault:?}");
        assert_eq!(server.arrived().len(), 3, "{fault:?}");
    }
}

#[test]
fn patience_ends() {
    let server = FakeServer::start(|_| Reply::status(500, "out of\n memory"));
    let error = ask(&endpoint(&server, |c| c.max_retries = 2)).unwrap_err().to_string();
    let url = format!("{}/completions", server.url);
    assert_eq!(error, format!("complete row `r` at {url}: the server answered 500 (3 attempts): out of memory"));
    assert_eq!(server.arrived().len(), 3);
    let garbage = FakeServer::start(|_| Reply::status(200, "?"));
    let error = ask(&endpoint(&garbage, |c| c.max_retries = 1)).unwrap_err().to_string();
    assert!(error.contains("understand the answer for row `r`") && error.ends_with(": ?"), "{error}");
}

#[test]
fn refusals_are_final_and_never_show_the_key() {
    let server = FakeServer::start(|r| {
        let told = r.authorization.clone().unwrap_or_default();
        Reply::status(401, &format!("no access with {told}"))
    });
    let endpoint = endpoint(&server, |c| c.api_key = Some(ApiKey::new("sk-12345")));
    let error = ask(&endpoint).unwrap_err();
    assert_eq!(server.arrived().len(), 1);
    assert!(error.to_string().ends_with("answered 401 (1 attempts): no access with Bearer [key]"), "{error}");
    let all = format!("{error:?} {endpoint:?} {:?}", endpoint.config());
    assert!(!all.contains("sk-12345"), "{all}");
}

/// A filter would refuse the same prompt again, and other rows have nothing to do with it.
#[test]
fn a_prompt_that_a_filter_refuses_is_a_row_that_is_done() {
    let body = r#"{"error": {"code": "content_filter", "status": 400, "message": "The prompt was filtered."}}"#;
    let server = FakeServer::start(move |_| Reply::status(400, body));
    let completion = &ask(&endpoint(&server, |_| {})).unwrap()["r"];
    assert_eq!((completion.finish, completion.text.as_str()), (FinishReason::Refused, ""));
    assert_eq!(server.arrived().len(), 1);
    let other = FakeServer::start(|_| Reply::status(400, r#"{"error": {"code": "invalid_value"}}"#));
    assert!(ask(&endpoint(&other, |_| {})).is_err());
}

#[test]
fn nobody_there() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = EndpointConfig {
        max_retries: 1,
        backoff: Duration::from_millis(1),
        ..EndpointConfig::new(format!("http://{unused}/v1"), "m", Server::OpenAi)
    };
    let error = ask(&Endpoint::new(config).unwrap()).unwrap_err();
    let GenerateError::Endpoint(inner) = &error else { panic!("{error}") };
    let EndpointError::Transport { row, attempts: 2, .. } = inner.as_ref() else { panic!("{error}") };
    assert_eq!(row, "r");
    let error = Endpoint::new(EndpointConfig::new("localhost:8000", "m", Server::OpenAi)).unwrap_err().to_string();
    assert_eq!(error, "use the endpoint `localhost:8000`: it must begin with http:// or https://");
}

#[test]
fn all_rows_wait_when_one_is_told_to() {
    let refused = Arc::new(AtomicUsize::new(0));
    let once = refused.clone();
    let server = FakeServer::start(move |_| {
        if once.fetch_add(1, Ordering::Relaxed) == 0 {
            return Reply::Answer(429, vec![("retry-after", "1".to_owned())], "busy".to_owned());
        }
        Reply::says("Ho")
    });
    let requests = (0..6).map(|i| Request::text(i.to_string(), i.to_string())).collect();
    let done = run(&endpoint(&server, |c| c.concurrency = 1), requests, &SamplingParams::default()).unwrap();
    assert_eq!(done.len(), 6);
    let arrived = server.arrived();
    let pause = arrived[1].at - arrived[0].at;
    assert!(pause >= Duration::from_millis(950), "{pause:?}");
}

#[test]
fn too_long_a_wait_is_an_error() {
    let server = FakeServer::start(|_| Reply::Answer(429, vec![("retry-after", "3600".to_owned())], String::new()));
    let error = ask(&endpoint(&server, |c| c.max_wait = Duration::from_secs(30))).unwrap_err().to_string();
    assert!(error.ends_with("the server asks to wait 3600 s, more than the 30 s allowed"), "{error}");
}

#[test]
fn rows_in_flight_are_bounded_and_come_in_any_order() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (flying, peak) = (now.clone(), most.clone());
    let server = FakeServer::start(move |r| {
        peak.fetch_max(flying.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // The first row is the slowest.
        thread::sleep(Duration::from_millis(if r.body["prompt"] == "0" { 200 } else { 10 }));
        flying.fetch_sub(1, Ordering::SeqCst);
        Reply::says(&format!("echo {}", r.body["prompt"].as_str().unwrap()))
    });
    let mut order = Vec::new();
    let mut requests = (0..20).map(|i| Request::text(i.to_string(), i.to_string()));
    let endpoint = endpoint(&server, |c| c.concurrency = 4);
    let usage = endpoint.complete(&mut requests, &SamplingParams::default(), &mut |c: Completion| {
        assert_eq!(c.text, format!("echo {}", c.id));
        order.push(c.id);
        ControlFlow::Continue(())
    });
    assert_eq!(usage.unwrap(), Usage { prompt_tokens: 60, completion_tokens: 40 });
    assert_eq!(order.len(), 20);
    assert_ne!(order[0], "0");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[test]
fn a_sink_ends_the_call_without_waiting_for_rows_in_flight() {
    let server = FakeServer::start(|r| {
        let reply = Reply::says("Ho");
        if r.body["prompt"] == "0" { reply } else { Reply::Late(Duration::from_secs(3), Box::new(reply)) }
    });
    let begin = Instant::now();
    let mut requests = (0..).map(|i| Request::text(i.to_string(), i.to_string()));
    let stop = &mut |_: Completion| ControlFlow::Break(());
    endpoint(&server, |_| {}).complete(&mut requests, &SamplingParams::default(), stop).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(server.arrived().len() <= 8);
}

#[test]
fn every_row_has_a_seed_of_its_own() {
    let server = FakeServer::start(|_| Reply::says("Ho"));
    let params = SamplingParams { temperature: 1.0, ..SamplingParams::default() };
    for _ in 0..2 {
        let requests = ["a", "b"].map(|id| Request::text(id, id)).to_vec();
        run(&endpoint(&server, |_| {}), requests, &params).unwrap();
    }
    let seeds = |prompt: &str| -> Vec<u64> {
        let arrived = server.arrived();
        arrived.iter().filter(|r| r.body["prompt"] == prompt).map(|r| r.body["seed"].as_u64().unwrap()).collect()
    };
    let (a, b) = (seeds("a"), seeds("b"));
    assert_eq!((a[0], b[0]), (a[1], b[1]));
    assert_ne!(a[0], b[0]);
}

/// A llama.cpp server (llama-cpp-python[server], `--logits_all true`) whose address `PIPE_TEST_ENDPOINT` names.
#[test]
#[ignore = "asks the server that PIPE_TEST_ENDPOINT names"]
fn real_server() {
    let url = std::env::var("PIPE_TEST_ENDPOINT").expect("PIPE_TEST_ENDPOINT names a server");
    let config =
        EndpointConfig { concurrency: 3, max_retries: 2, ..EndpointConfig::new(url, "model", Server::LlamaCpp) };
    let endpoint = Endpoint::new(config).unwrap();
    let greedy = SamplingParams { max_new_tokens: 12, logprobs: true, ..SamplingParams::default() };
    let prompts = ["Once upon a time", "Lily and Tom went to the park", "The dog was very sad because"];
    let requests = || prompts.map(|p| Request::text(p, p)).to_vec();
    let first = run(&endpoint, requests(), &greedy).unwrap();
    assert_eq!(first.len(), 3);
    for completion in first.values() {
        assert_eq!((completion.finish, completion.usage.completion_tokens), (FinishReason::Length, 12));
        assert!(completion.usage.prompt_tokens > 2 && !completion.text.is_empty());
        let logprobs = completion.logprobs.as_ref().unwrap();
        assert!(logprobs.len() >= 12 && logprobs.iter().all(|l| *l <= 0.0), "{logprobs:?}");
    }
    let texts = |done: &BTreeMap<String, Completion>| done.values().map(|c| c.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&first), texts(&run(&endpoint, requests(), &greedy).unwrap()), "greedy rows repeat");
    // A stop string, a sampled row with its seed, and a conversation.
    let word = first[prompts[0]].text.split_whitespace().nth(3).unwrap().to_owned();
    let stop = SamplingParams { stop: vec![word.clone()], logprobs: false, ..greedy.clone() };
    let stopped = one(&endpoint, Request::text("s", prompts[0]), &stop);
    assert_eq!(stopped.finish, FinishReason::Stop);
    assert!(first[prompts[0]].text.starts_with(&stopped.text) && !stopped.text.contains(&word));
    let sampled = SamplingParams { temperature: 1.0, top_k: 50, min_p: 0.02, logprobs: false, ..greedy.clone() };
    let draw = |id: &str| one(&endpoint, Request::text(id, prompts[0]), &sampled).text;
    assert_eq!(draw("a"), draw("a"));
    assert_ne!(draw("a"), draw("b"));
    let chat = Prompt::Chat(vec![Message::new("user", "Tell me a story.")]);
    let answer =
        one(&endpoint, Request { id: "c".to_owned(), prompt: chat }, &SamplingParams { logprobs: false, ..greedy });
    assert!(answer.usage.completion_tokens > 0);
}
