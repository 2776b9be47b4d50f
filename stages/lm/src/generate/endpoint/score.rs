//! Texts that are given, scored by a server.
//!
//! Its own tokenizer makes the tokens (`/tokenize`), and they are sent as tokens: where a context ends and its
//! continuation begins is then told by counting, exactly as for a model here. Offsets of characters, which an `echo`
//! has, say something else where a token spans both.

use std::sync::{Arc, atomic::AtomicBool};

use parking_lot::Mutex;
use serde_json::Value;

use super::{
    Client, Endpoint, EndpointError,
    admin::SHORT,
    client::{Asking, Became},
    likelihoods::{self, Detokenized, Tokenized},
    pool,
    protocol::Damage,
};
use crate::{
    chat::Message,
    generate::{
        FinishReason, GenerateError, Prompt, ScoreRequest, ScoreSink, ScoreText, Scored, Scorer,
        sequences::{Reader, Row, sequences},
    },
};

/// What of the server's positions a text cannot have: that of the token that it must write, and one more, since a
/// model here need not read a text's last token. lm-evaluation-harness leaves as many.
const TAKEN: usize = 2;

/// A text by which it is found out what the tokenizer puts around texts.
const PROBE: &str = "a";

impl Scorer for Endpoint {
    fn score(
        &self,
        requests: &mut (dyn Iterator<Item = ScoreRequest> + Send),
        sink: &mut dyn ScoreSink,
    ) -> Result<(), GenerateError> {
        let asked = Asked { client: self.client.clone(), habits: Mutex::default() };
        let work = move |request, cancelled: &AtomicBool| asked.score(request, cancelled);
        let on = &mut |scored: Option<Scored>| match scored {
            Some(scored) => sink.scored(scored),
            None => sink.between_steps(),
        };
        Ok(pool::drive(self.config().concurrency, requests, work, on)?)
    }
}

/// What is to be known of a server before it is asked about texts.
struct Habits {
    /// Tokens that its tokenizer puts in front of a text.
    front: Vec<u32>,
    /// The one that stands in front of a text by itself, if the server tells it.
    first: Option<u32>,
    /// Tokens that may stand in front of the last one.
    context: usize,
}

/// A server that is asked.
struct Asked {
    client: Arc<Client>,
    /// Found out by the row that is first, while others wait; `Err` where that came to nothing.
    habits: Mutex<Option<Result<Arc<Habits>, ()>>>,
}

/// Why a row has no likelihoods.
enum Stop {
    Row(FinishReason, String),
    Cancelled,
    Server(EndpointError),
}

impl From<EndpointError> for Stop {
    fn from(error: EndpointError) -> Self {
        Self::Server(error)
    }
}

impl Asked {
    fn score(&self, request: ScoreRequest, cancelled: &AtomicBool) -> Result<Option<Scored>, EndpointError> {
        let asking = RowAsking { client: &self.client, row: &request.id, cancelled };
        let found = self.habits(&asking).and_then(|habits| asking.likelihoods(&request, &habits));
        match found {
            Ok(scored) => Ok(Some(scored)),
            Err(Stop::Row(finish, why)) => Ok(Some(Scored { id: request.id, found: Err((finish, why)) })),
            Err(Stop::Cancelled) => Ok(None),
            Err(Stop::Server(error)) => Err(error),
        }
    }

    fn habits(&self, asking: &RowAsking<'_>) -> Result<Arc<Habits>, Stop> {
        let mut known = self.habits.lock();
        match &*known {
            Some(Ok(habits)) => return Ok(Arc::clone(habits)),
            // Whose row it was says so.
            Some(Err(())) => return Err(Stop::Cancelled),
            None => {}
        }
        // What is refused before any row is asked about concerns them all.
        let found = asking.habits().map(Arc::new).map_err(|stop| match stop {
            Stop::Row(_, problem) => {
                EndpointError::Unable { url: self.client.beside("tokenize"), problem, body: PROBE.to_owned() }.into()
            }
            other => other,
        });
        *known = Some(found.as_ref().map(Arc::clone).map_err(|_| ()));
        found
    }
}

/// What is asked for one row.
struct RowAsking<'a> {
    client: &'a Client,
    row: &'a str,
    cancelled: &'a AtomicBool,
}

impl RowAsking<'_> {
    /// Asks at an address.
    fn ask<T>(&self, url: &str, body: &Value, read: &dyn Fn(&str) -> Result<T, Damage>) -> Result<T, Stop> {
        let asking = Asking { row: self.row, url, body: &body.to_string(), cancelled: self.cancelled };
        match self.client.ask(&asking, read)? {
            Became::Answered(answer) => Ok(answer),
            Became::Refused(finish, why) => Err(Stop::Row(finish, why)),
            Became::Cancelled => Err(Stop::Cancelled),
        }
    }

    /// Asks at one of vLLM's own addresses, which other servers do not have.
    fn ask_vllm<T: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Stop> {
        let answer = self.ask(&self.client.beside(path), body, &likelihoods::answer);
        answer.map_err(|stop| match stop {
            // A model that is not there is told in the same way, but by its name.
            Stop::Server(EndpointError::Status { url, status: status @ (404 | 405 | 501), body, .. })
                if !body.to_lowercase().contains("model") =>
            {
                EndpointError::Unable { url, problem: format!("it has no such address ({status})"), body }.into()
            }
            other => other,
        })
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Tokenized, Stop> {
        self.ask_vllm("tokenize", &likelihoods::tokenize(&self.client.config, text, special))
    }

    fn habits(&self) -> Result<Habits, Stop> {
        let (plain, special) = (self.tokenize(PROBE, false)?, self.tokenize(PROBE, true)?);
        let place = special.tokens.windows(plain.tokens.len().max(1)).position(|part| part == plain.tokens);
        let front = place.map(|place| special.tokens[..place].to_vec()).ok_or_else(|| EndpointError::Unable {
            url: self.client.beside("tokenize"),
            problem: "what it puts around a text cannot be told from the text".to_owned(),
            body: format!("{:?} of {:?}", special.tokens, plain.tokens),
        })?;
        let first = match (self.client.config.first_token, &*front) {
            (Some(first), _) | (None, &[first]) => Some(first),
            _ => self.told_first()?,
        };
        Ok(Habits { front, first, context: plain.max_model_len.saturating_sub(TAKEN) })
    }

    /// The token of a beginning, else of an end, as the server tells it where it was started for that.
    fn told_first(&self) -> Result<Option<u32>, Stop> {
        let url = self.client.beside("tokenizer_info");
        let Ok(info) = self.client.admin("ask for its tokenizer", &url, None, Some(SHORT)) else { return Ok(None) };
        let info: Value = serde_json::from_str(&info).unwrap_or_default();
        let named = |key: &str| info[key].as_str().or(info[key]["content"].as_str()).map(str::to_owned);
        let Some(token) = named("bos_token").or_else(|| named("eos_token")) else { return Ok(None) };
        let tokens = self.tokenize(&token, false)?.tokens;
        Ok(if let [first] = *tokens { Some(first) } else { None })
    }

    fn likelihoods(&self, request: &ScoreRequest, habits: &Habits) -> Result<Scored, Stop> {
        let text = match &request.text {
            // As this server is asked to complete it.
            ScoreText::Continuations { context: Prompt::Text(text), continuations }
                if self.client.config.text_as_chat =>
            {
                let context = Prompt::Chat(vec![Message::new("user", text)]);
                &ScoreText::Continuations { context, continuations: continuations.clone() }
            }
            text => text,
        };
        let read = sequences(&ServersReader { asking: self, habits }, text, habits.context)?;
        let mut row = match Row::fitting(request.id.clone(), read, habits.context) {
            Ok(row) => row,
            Err(error) => {
                let done = error.into_completion().map_err(|_| Stop::Cancelled)?;
                return Err(Stop::Row(done.finish, done.text));
            }
        };
        let url = format!("{}/completions", self.client.config.base_url);
        for place in 0..row.sequences.len() {
            let (tokens, first) = (&row.sequences[place].tokens, row.sequences[place].first_wanted());
            let body = likelihoods::read_prompt(&self.client.config, tokens);
            let found = self.ask(&url, &body, &|text| likelihoods::read(text, tokens))?;
            for (position, found) in found.into_iter().enumerate().skip(first) {
                let Some(found) = found else {
                    let why = format!("the server has no finite log-probability of the token at {}", position + 1);
                    return Err(Stop::Row(FinishReason::NotFinite, why));
                };
                row.add(place, found);
            }
        }
        Ok(row.scored())
    }
}

/// The server reads a row.
struct ServersReader<'a> {
    asking: &'a RowAsking<'a>,
    habits: &'a Habits,
}

impl Reader for ServersReader<'_> {
    type Error = Stop;

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, Stop> {
        let tokens = if text.is_empty() { Vec::new() } else { self.asking.tokenize(text, false)?.tokens };
        // A text that begins with them gets no second ones.
        let lacks = special && !tokens.starts_with(&self.habits.front);
        Ok(if lacks { [&*self.habits.front, &*tokens].concat() } else { tokens })
    }

    fn first_token(&self) -> Result<u32, Stop> {
        let unknown = || EndpointError::NoFirstToken { url: self.asking.client.config.base_url.clone() };
        self.habits.first.ok_or_else(|| unknown().into())
    }

    /// The server has its tokens; their text is right where it has these tokens again.
    fn conversation(&self, messages: &[Message]) -> Result<String, Stop> {
        let config = &self.asking.client.config;
        let tokenized: Tokenized = self.asking.ask_vllm("tokenize", &likelihoods::tokenize_chat(config, messages))?;
        let text: Detokenized =
            self.asking.ask_vllm("detokenize", &likelihoods::detokenize(config, &tokenized.tokens))?;
        if self.tokens(&text.prompt, false)? != tokenized.tokens {
            let why =
                "the server's tokenizer reads the text of its conversation as other tokens; use `template: plain`";
            return Err(Stop::Row(FinishReason::Refused, why.to_owned()));
        }
        Ok(text.prompt)
    }
}
