//! One row's way to the server and back, over as many attempts as it takes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{
    ApiKey, EndpointConfig, EndpointError,
    protocol::{self, Damage},
};
use crate::{
    generate::{Completion, FinishReason, Request, SamplingParams},
    origin::{has_password, without_password},
};

/// Longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// A connection pool with its patience.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub config: EndpointConfig,
    /// No request goes out before this moment: a server that asks one row to wait means all.
    gate: Mutex<Instant>,
}

/// What is asked of the server for a row: a body in JSON to an address.
pub(super) struct Asking<'a> {
    pub row: &'a str,
    pub url: &'a str,
    pub body: &'a str,
    pub cancelled: &'a AtomicBool,
}

/// What became of it.
pub(super) enum Became<T> {
    Answered(T),
    /// The server will not do it for this row, with its words.
    Refused(FinishReason, String),
    Cancelled,
}

/// What a failed attempt means.
enum Failure {
    /// Trying again may help, after a pause that the server may have named.
    Passing(EndpointError, Option<Duration>),
    /// Trying again may help; where it does not, it is this row alone.
    Row(EndpointError),
    /// It will not.
    Final(EndpointError),
}

impl Client {
    pub(crate) fn new(mut config: EndpointConfig) -> Result<Self, EndpointError> {
        let wrong =
            |problem: &str| EndpointError::Url { url: without_password(&config.base_url), problem: problem.to_owned() };
        if has_password(&config.base_url) {
            return Err(wrong(
                "it must not carry a user or a password; name the variable that holds the key with `api_key_env`",
            ));
        }
        if !(config.base_url.starts_with("http://") || config.base_url.starts_with("https://")) {
            return Err(wrong("it must begin with http:// or https://"));
        }
        let proxy = match &config.proxy {
            Some(address) => Some(ureq::Proxy::new(address).map_err(|e| EndpointError::Url {
                url: without_password(address),
                problem: format!("it is no proxy address ({e})"),
            })?),
            None => None,
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(config.connect_timeout))
            .timeout_global(Some(config.timeout))
            .max_idle_connections_per_host(config.concurrency)
            .max_idle_connections(config.concurrency)
            // Given explicitly, since the library would otherwise read the environment.
            .proxy(proxy)
            .build()
            .into();
        config.base_url.truncate(config.base_url.trim_end_matches('/').len());
        Ok(Self { agent, config, gate: Mutex::new(Instant::now()) })
    }

    /// Completes a row; `None` if `cancelled` was set before it was done.
    pub(crate) fn complete(
        &self,
        request: &Request,
        params: &SamplingParams,
        cancelled: &AtomicBool,
    ) -> Result<Option<Completion>, EndpointError> {
        let call = protocol::call(&self.config, request, params);
        let url = format!("{}/{}", self.config.base_url, call.path);
        let asking = Asking { row: &request.id, url: &url, body: &call.body.to_string(), cancelled };
        Ok(match self.ask(&asking, &|text| protocol::read(text, &request.id, params))? {
            Became::Answered(completion) => Some(completion),
            Became::Refused(finish, _) => Some(protocol::unanswered(&request.id, finish)),
            Became::Cancelled => None,
        })
    }

    /// Asks until there is an answer that `read` understands, or no hope of one.
    ///
    /// # Errors
    /// There is none, and it is not this row alone.
    pub(super) fn ask<T>(
        &self,
        asking: &Asking<'_>,
        read: &dyn Fn(&str) -> Result<T, Damage>,
    ) -> Result<Became<T>, EndpointError> {
        let Asking { row, url, cancelled, .. } = *asking;
        let mut attempt = 1;
        loop {
            if !self.wait_at_gate(cancelled) {
                return Ok(Became::Cancelled);
            }
            let (error, asked, of_row) = match self.attempt(asking, read, attempt) {
                Ok(became) => return Ok(became),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, asked)) => (error, asked, false),
                Err(Failure::Row(error)) => (error, None, true),
            };
            if attempt > self.config.max_retries {
                if of_row {
                    tracing::warn!(row, %error, "the server fails on this row");
                    return Ok(Became::Refused(FinishReason::Refused, error.to_string()));
                }
                return Err(error);
            }
            if let Some(asked) = asked {
                if asked > self.config.max_wait {
                    let (seconds, limit) = (asked.as_secs(), self.config.max_wait.as_secs());
                    return Err(EndpointError::Wait { row: row.to_owned(), url: url.to_owned(), seconds, limit });
                }
                self.close_gate_for(asked);
            }
            let pause = asked.unwrap_or_default().max(self.backoff(row, attempt));
            tracing::debug!(row, attempt, ?pause, %error, "retrying");
            if !sleep(pause, cancelled) {
                return Ok(Became::Cancelled);
            }
            attempt += 1;
        }
    }

    fn attempt<T>(
        &self,
        asking: &Asking<'_>,
        read: &dyn Fn(&str) -> Result<T, Damage>,
        attempts: u32,
    ) -> Result<Became<T>, Failure> {
        let row = || asking.row.to_owned();
        let url = || asking.url.to_owned();
        let transport = |source: ureq::Error| {
            let passing = is_passing(&source);
            let source = Box::new(source);
            let error = EndpointError::Transport { row: row(), url: url(), attempts, source };
            if passing { Failure::Passing(error, None) } else { Failure::Final(error) }
        };
        let mut post = self.agent.post(asking.url).header("content-type", "application/json");
        if let Some(key) = &self.config.api_key {
            post = post.header("authorization", key.bearer());
        }
        let mut answer = post.send(asking.body).map_err(transport)?;
        let status = answer.status().as_u16();
        let asked = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(retry_after);
        let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(transport)?;
        if let Some(finish) = protocol::row_refused(status, &text) {
            return Ok(Became::Refused(finish, format!("the server answered {status}: {}", self.excerpt(&text))));
        }
        if !(200..300).contains(&status) {
            let body = self.excerpt(&text);
            let error = EndpointError::Status { row: row(), url: url(), status, attempts, body };
            let passing = matches!(status, 408 | 425 | 429) || status >= 500;
            return Err(if passing { Failure::Passing(error, asked) } else { Failure::Final(error) });
        }
        read(&text).map(Became::Answered).map_err(|damage| {
            let body = self.excerpt(&text);
            let answer = |problem, body| EndpointError::Answer { row: row(), url: url(), attempts, problem, body };
            match damage {
                Damage::Answer(problem) => Failure::Passing(answer(problem, body), None),
                Damage::Row(problem) => Failure::Row(answer(problem, body)),
                Damage::Server(problem) => Failure::Final(EndpointError::Unable { url: url(), problem, body }),
            }
        })
    }

    /// An address of the server itself: what stands in front of the version of the interface.
    pub(super) fn beside(&self, path: &str) -> String {
        let base = &self.config.base_url;
        format!("{}/{path}", base.strip_suffix("/v1").unwrap_or(base))
    }

    /// Sends a request once: status and text of the answer.
    pub(super) fn once(
        &self,
        url: &str,
        body: Option<&serde_json::Value>,
        timeout: Option<Duration>,
    ) -> Result<(u16, String), ureq::Error> {
        let timeout = timeout.unwrap_or(self.config.timeout);
        let key = self.config.api_key.as_ref().map(ApiKey::bearer);
        let mut answer = if let Some(body) = body {
            let post = self.agent.post(url).config().timeout_global(Some(timeout)).build();
            let post = post.header("content-type", "application/json");
            let post = key.iter().fold(post, |post, key| post.header("authorization", key));
            post.send(body.to_string())?
        } else {
            let get = self.agent.get(url).config().timeout_global(Some(timeout)).build();
            key.iter().fold(get, |get, key| get.header("authorization", key)).call()?
        };
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string()?;
        Ok((status, text))
    }

    /// The beginning of an answer, on one line, without the key.
    pub(super) fn excerpt(&self, text: &str) -> String {
        let text = self.config.api_key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text));
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= 300 { line } else { format!("{}...", line.chars().take(300).collect::<String>()) }
    }

    /// The pause before retry number `attempt`: doubling, less a part of up to half that differs from row to row, so
    /// that rows that failed together do not come back together.
    fn backoff(&self, row: &str, attempt: u32) -> Duration {
        let digest = blake3::hash(format!("{row}\0{attempt}").as_bytes());
        let jitter = f64::from(u32::from_le_bytes([
            digest.as_bytes()[0],
            digest.as_bytes()[1],
            digest.as_bytes()[2],
            digest.as_bytes()[3],
        ])) / f64::from(u32::MAX);
        let full = self.config.backoff.saturating_mul(1 << (attempt - 1).min(20)).min(self.config.max_wait);
        full.mul_f64(1.0 - 0.5 * jitter)
    }

    fn close_gate_for(&self, pause: Duration) {
        let mut gate = self.gate.lock();
        *gate = (*gate).max(Instant::now() + pause);
    }

    fn wait_at_gate(&self, cancelled: &AtomicBool) -> bool {
        let until = *self.gate.lock();
        sleep(until.saturating_duration_since(Instant::now()), cancelled)
    }
}

/// Whether another attempt can change a transport error.
fn is_passing(error: &ureq::Error) -> bool {
    !matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::RequireHttpsOnly(_)
            | ureq::Error::InvalidProxyUrl
            | ureq::Error::BodyExceedsLimit(_)
            | ureq::Error::TooManyRedirects
            | ureq::Error::Tls(_)
    )
}

/// `Retry-After`: seconds, or an HTTP date (RFC 9110, section 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = httpdate::parse_http_date(value).ok()?;
    Some(moment.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Sleeps in short pieces; `false` if `cancelled` was set.
fn sleep(pause: Duration, cancelled: &AtomicBool) -> bool {
    let end = Instant::now() + pause;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(Duration::from_millis(20)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::endpoint::Server;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let asked = retry_after(&date).unwrap();
        assert!((Duration::from_secs(80)..=Duration::from_secs(90)).contains(&asked), "{asked:?}");
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn backoff_doubles_within_its_jitter_and_is_capped() {
        let config = EndpointConfig {
            backoff: Duration::from_millis(100),
            max_wait: Duration::from_secs(1),
            ..EndpointConfig::new("http://localhost/v1", "m", Server::OpenAi)
        };
        let client = Client::new(config).unwrap();
        for (attempt, full) in [(1, 100.0), (2, 200.0), (3, 400.0), (10, 1000.0)] {
            let pauses: Vec<f64> =
                (0..50).map(|row| client.backoff(&row.to_string(), attempt).as_secs_f64() * 1e3).collect();
            assert!(pauses.iter().all(|p| (full * 0.5..=full).contains(p)), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|p| *p < full * 0.7) && pauses.iter().any(|p| *p > full * 0.8));
        }
    }
}
