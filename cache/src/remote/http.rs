//! HTTP as remotes need it: one request at a time, nothing repeated behind our back, what is written sent nowhere else
//! than was said, and no server may be slower than a crawl.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use ureq::{
    Agent, Body, SendBody,
    config::RedirectAuthHeaders,
    http::{Request, Response},
};

use super::{
    fault::{Fault, without_query},
    stop::Stop,
    transport::{Answer, Content},
};
use crate::machine;

/// Slower than so many bytes a second, and it counts as silence.
const CRAWL: u64 = 16 << 10;
/// What is read of the body of a refusal.
const MOST_SAID: u64 = 4 << 10;
/// Requests under way at once, or a few less.
const CONNECTIONS: usize = 24;

pub(super) struct Http {
    agent: Agent,
    timeout: Duration,
    stop: Stop,
}

/// A header of a request.
pub(super) type Header<'a> = (&'a str, &'a str);

impl Http {
    /// Up to `redirects` are followed of what is only read. Whoever they lead to is not told who we are, unless it is
    /// the same host.
    pub(super) fn new(timeout: Duration, redirects: u32, stop: Stop) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(redirects)
            .max_redirects_will_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(timeout.min(Duration::from_secs(10))))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            .max_idle_connections(CONNECTIONS)
            .max_idle_connections_per_host(CONNECTIONS)
            .build()
            .into();
        Self { agent, timeout, stop }
    }

    /// Ends all requests that wait for an answer, and refuses further ones. One that is still connecting ends when that
    /// has gone on for too long.
    pub(super) fn cancel(&self) {
        self.agent.clone().shutdown();
    }

    /// Makes a request.
    pub(super) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[Header<'_>],
        content: Option<&Content<'_>>,
    ) -> Result<Response<Body>, Fault> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unusable = |_| Fault::Broken("the address, or a header, cannot be used".to_owned());
        let Some(content) = content else {
            let mut request = self.agent.configure_request(request.body(()).map_err(unusable)?);
            if !matches!(method, "GET" | "HEAD") {
                request = request.max_redirects(0);
            }
            return self.agent.run(request.build()).map_err(|e| fault(&e));
        };
        let mut reader = content.reader(&self.stop)?;
        let request = request.header("content-length", content.len());
        let request = request.body(SendBody::from_reader(&mut reader)).map_err(unusable)?;
        let most = self.timeout + Duration::from_secs(content.len() / CRAWL);
        let request = self.agent.configure_request(request).max_redirects(0).timeout_send_body(Some(most)).build();
        let answer = self.agent.run(request);
        answer.map_err(|e| reader.failed().unwrap_or_else(|| fault(&e)))
    }

    /// The size of an object, asked with `HEAD`.
    pub(super) fn head(&self, url: &str, headers: &[Header<'_>]) -> Result<Option<u64>, Fault> {
        let response = self.send("HEAD", url, headers, None)?;
        match response.status().as_u16() {
            200..300 => Ok(Some(number(&response, "content-length").unwrap_or(0))),
            404 | 410 => Ok(None),
            _ => Err(refusal(response)),
        }
    }

    /// An object from byte `from` on.
    pub(super) fn get(&self, url: &str, headers: &[Header<'_>], from: u64) -> Result<Option<Answer>, Fault> {
        let range = format!("bytes={from}-");
        let mut headers = headers.to_vec();
        headers.extend((from > 0).then_some(("range", range.as_str())));
        let response = self.send("GET", url, &headers, None)?;
        let from = match response.status().as_u16() {
            206 => begins_at(&response).ok_or_else(|| Fault::Damaged("it does not say which part it is".to_owned()))?,
            200..300 => 0,
            404 | 410 => {
                // A bucket that is not there is no miss.
                return match refusal(response) {
                    Fault::Status { status, detail } if detail == "NoSuchBucket" => {
                        Err(Fault::Status { status, detail })
                    }
                    _ => Ok(None),
                };
            }
            _ => return Err(refusal(response)),
        };
        let body = self.stop.watch(response.into_body().into_reader());
        let body = Paced { body, begun: Instant::now(), bytes: 0, patience: self.timeout };
        Ok(Some(Answer { from, body: Box::new(body) }))
    }

    /// Writes an object; `false` when there is one, and it is to stay.
    pub(super) fn put(
        &self,
        url: &str,
        headers: &[Header<'_>],
        content: &Content<'_>,
        only_new: bool,
    ) -> Result<bool, Fault> {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/octet-stream"));
        headers.extend(only_new.then_some(("if-none-match", "*")));
        let response = self.send("PUT", url, &headers, Some(content))?;
        match response.status().as_u16() {
            200..300 => drain(response).map(|()| true),
            412 if only_new => Ok(false),
            _ => Err(refusal(response)),
        }
    }
}

/// A small answer as a text.
pub(super) fn text(response: Response<Body>, most: u64) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    response.into_body().into_reader().take(most).read_to_end(&mut bytes).map_err(|e| Fault::broken(&e))?;
    String::from_utf8(bytes).map_err(|_| Fault::Damaged("it is no text".to_owned()))
}

/// Reads the little that is left, so that the connection can be used again.
pub(super) fn drain(response: Response<Body>) -> Result<(), Fault> {
    let mut rest = response.into_body().into_reader().take(MOST_SAID);
    io::copy(&mut rest, &mut io::sink()).map(drop).map_err(|e| Fault::broken(&e))
}

/// What a status that was not hoped for means.
pub(super) fn refusal(response: Response<Body>) -> Fault {
    let status = response.status().as_u16();
    if matches!(status, 401 | 403) {
        let minutes_apart = minutes_apart(&response);
        return Fault::Refused { status, said: code(&text(response, MOST_SAID).unwrap_or_default()), minutes_apart };
    }
    let region = response.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
    let region = region.filter(|_| (300..500).contains(&status)).map(|r| format!("the bucket is in region {r}"));
    let detail = region.unwrap_or_else(|| match status {
        300..400 => "it says that this is to be asked at another address".to_owned(),
        _ => code(&text(response, MOST_SAID).unwrap_or_default()),
    });
    Fault::Status { status, detail }
}

/// How far the clock of the server is from this machine's, if that is further than it may be where requests are signed.
fn minutes_apart(response: &Response<Body>) -> Option<u64> {
    let date = response.headers().get("date")?.to_str().ok()?;
    let there = chrono::DateTime::parse_from_rfc2822(date).ok()?.timestamp_millis();
    let minutes = there.abs_diff(machine::now_ms() as i64) / 60_000;
    (minutes >= 5).then_some(minutes)
}

/// The code of an error of S3.
fn code(body: &str) -> String {
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let plain = |code: &&str| code.len() < 60 && code.chars().all(|c| c.is_ascii_alphanumeric());
    code.map(|(code, _)| code).filter(plain).unwrap_or_default().to_owned()
}

fn number(response: &Response<Body>, name: &str) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `Content-Range: bytes 10-19/20`.
fn begins_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.trim().strip_prefix("bytes")?.trim().split_once('-')?.0.parse().ok()
}

fn fault(error: &ureq::Error) -> Fault {
    match error {
        ureq::Error::Timeout(_) => Fault::Silent,
        ureq::Error::Io(e) => Fault::broken(e),
        ureq::Error::HostNotFound => Fault::Broken("there is no such host".to_owned()),
        ureq::Error::BadUri(_) => Fault::Broken("the address cannot be used".to_owned()),
        other => Fault::Broken(without_query(&other.to_string())),
    }
}

/// A body that may not crawl.
struct Paced<R> {
    body: R,
    begun: Instant,
    bytes: u64,
    patience: Duration,
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.body.read(buffer)?;
        self.bytes += n as u64;
        if n > 0 && self.begun.elapsed() > self.patience + Duration::from_secs(self.bytes / CRAWL) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(n)
    }
}
