//! Addresses: names in them, whether two lead to the same place, and where redirects lead.

use ureq::http::Uri;

use super::Fault;

/// A name of a file as it stands in an address: `#`, `?`, `%` and spaces mean something else there.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    text
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Scheme, host and port.
fn place(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, url.host()?.to_ascii_lowercase(), port))
}

pub(super) fn same_place(a: &str, b: &str) -> bool {
    place(a).is_some_and(|a| place(b) == Some(a))
}

/// Where `location` leads from `url` (RFC 3986, section 5.2, without dot segments). From `https` it must not lead to
/// `http`, where anybody on the way may put something else in the file's place.
pub(super) fn join(url: &str, location: &str) -> Result<String, Fault> {
    let unusable = || Fault::Answer("it sends to an address that is none".to_owned());
    let base: Uri = url.parse().map_err(|_| unusable())?;
    let (scheme, authority) = (base.scheme_str().ok_or_else(unusable)?, base.authority().ok_or_else(unusable)?);
    let joined = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let (to, ..) = place(&joined).ok_or_else(unusable)?;
    if scheme.eq_ignore_ascii_case("https") && to != "https" {
        return Err(Fault::Answer("it sends from an address with https to one without".to_owned()));
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined_and_compared() {
        let from = "https://hub.co:8443/org/name/resolve/main/file";
        for (location, expect) in [
            ("/x?y=1", "https://hub.co:8443/x?y=1"),
            ("other", "https://hub.co:8443/org/name/resolve/main/other"),
            ("//cdn.co/x", "https://cdn.co/x"),
            ("https://cdn.co/x", "https://cdn.co/x"),
        ] {
            assert_eq!(join(from, location).unwrap(), expect);
        }
        assert_eq!(join("http://hub.co/a", "https://cdn.co/x").unwrap(), "https://cdn.co/x");
        assert_eq!(join("http://hub.co/a", "http://cdn.co/x").unwrap(), "http://cdn.co/x");
        assert!(join(from, "http://").is_err());
        assert!(same_place("https://HUB.co/a", "https://hub.co:443"));
        for other in ["http://hub.co", "https://hub.co:444", "https://hub.co.evil", "https://a.hub.co"] {
            assert!(!same_place("https://hub.co/a", other), "{other}");
        }
    }

    #[test]
    fn what_is_asked_with_https_is_not_sent_to_http() {
        for from in ["https://hub.co/a", "HTTPS://hub.co:8443/a"] {
            for location in ["http://hub.co/a", "http://cdn.co:443/x", "http://hub.co:8443/a"] {
                let refused = join(from, location).unwrap_err().to_string();
                assert!(refused.ends_with("it sends from an address with https to one without"), "{refused}");
            }
        }
    }

    #[test]
    fn names_are_escaped_where_they_mean_something_else_in_an_address() {
        for (name, expect) in [
            ("data/a-b_c.~1.csv", "data/a-b_c.~1.csv"),
            ("a#1.csv", "a%231.csv"),
            ("a?b=c&d.csv", "a%3Fb%3Dc%26d.csv"),
            ("100%25.csv", "100%2525.csv"),
            ("two words+é.csv", "two%20words%2B%C3%A9.csv"),
        ] {
            assert_eq!(escaped(name), expect);
        }
    }
}
