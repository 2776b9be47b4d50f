//! `https://`: any server that knows GET, HEAD and PUT. What it cannot list cannot be collected there.

use super::{
    access::Access,
    fault::Fault,
    http::{Header, Http, drain, refusal},
    transport::{Answer, Content, Listed, Transport},
};

pub(super) struct Web {
    http: Http,
    url: String,
    authorization: Option<String>,
}

impl Web {
    pub(super) fn new(url: &str, http: Http, access: &Access) -> Self {
        let authorization = match access {
            Access::Bearer(token) => Some(format!("Bearer {}", token.reveal())),
            Access::Basic { user, password } => {
                Some(format!("Basic {}", base64(format!("{user}:{}", password.reveal()).as_bytes())))
            }
            Access::Anonymous | Access::Aws { .. } => None,
        };
        Self { http, url: url.trim_end_matches('/').to_owned(), authorization }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    fn headers(&self) -> Vec<Header<'_>> {
        self.authorization.iter().map(|value| ("authorization", value.as_str())).collect()
    }
}

impl Transport for Web {
    fn head(&self, name: &str) -> Result<Option<u64>, Fault> {
        self.http.head(&self.url(name), &self.headers())
    }

    fn get(&self, name: &str, from: u64) -> Result<Option<Answer>, Fault> {
        self.http.get(&self.url(name), &self.headers(), from)
    }

    fn put(&self, name: &str, content: &Content<'_>, only_new: bool) -> Result<bool, Fault> {
        self.http.put(&self.url(name), &self.headers(), content, only_new)
    }

    fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, Fault> {
        Err(Fault::Unable("list what it has"))
    }

    fn cancel(&self) {
        self.http.cancel();
    }

    fn delete(&self, names: &[String]) -> Result<(), Fault> {
        for name in names {
            let response = self.http.send("DELETE", &self.url(name), &self.headers(), None)?;
            match response.status().as_u16() {
                200..300 | 404 | 410 => drain(response)?,
                405 | 501 => return Err(Fault::Unable("remove anything")),
                _ => return Err(refusal(response)),
            }
        }
        Ok(())
    }
}

/// As RFC 4648 says, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_padded() {
        let vectors = [("", ""), ("M", "TQ=="), ("Ma", "TWE="), ("Man", "TWFu"), ("me:pass", "bWU6cGFzcw==")];
        assert!(vectors.iter().all(|(plain, coded)| base64(plain.as_bytes()) == *coded));
    }
}
