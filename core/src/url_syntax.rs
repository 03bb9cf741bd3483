//! Parses URLs strictly: parts that the `url` crate drops or changes silently are errors here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::{ParseError, Url};

use crate::error::{Error, Result};

/// The remedy for a reserved character in a name or a password.
const ENCODING_HINT: &str = "percent-encode it: `#` is %23, `/` is %2F, `?` is %3F, `@` is %40, `:` is %3A, `%` is %25";

/// The scheme of a URL, in lower case.
pub(crate) fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once(':')?;
    let known = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (!scheme.is_empty() && scheme.chars().all(known)).then(|| scheme.to_ascii_lowercase())
}

/// Parses a URL; `form` is an example for error messages. The messages never repeat a possible password.
///
/// # Errors
/// `Usage` for invalid URLs, and for parts that would be dropped or changed.
pub(crate) fn parse(text: &str, form: &str) -> Result<Url> {
    let wrong = |what: &str| Error::usage(format!("{what}; {form}"));
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(wrong("a URL holds no control characters and no spaces at its ends"));
    }
    let (_, rest) = text.split_once("://").filter(|_| scheme(text).is_some()).ok_or_else(|| Error::usage(form))?;
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains(':') && !authority.contains('@') && after.contains('@') {
        return Err(wrong(&format!("a password holds a `/`, `?` or `#`: {ENCODING_HINT}")));
    }
    if let Some((_, fragment)) = after.split_once('#') {
        // A fragment with an `@` may be the rest of a password.
        let named = if fragment.contains('@') { String::new() } else { format!(" (`#{fragment}`)") };
        return Err(wrong(&format!("the URL has a fragment{named}, which has no meaning; {ENCODING_HINT}")));
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::InvalidPort => {
            let host_named = authority.contains('@');
            wrong(&match host_named {
                true => "what follows the `:` of the host is no port: a port is a number from 1 to 65535".to_owned(),
                false => {
                    format!("what follows the `:` is no port; if it is a password, name the host, and {ENCODING_HINT}")
                }
            })
        }
        error => Error::usage(form).caused_by(error),
    })?;
    let path = after.split('?').next().unwrap_or_default();
    if path.is_empty() && url.scheme() == "file" {
        return Err(wrong("the URL names no directory: a file:// URL is an absolute path, file:///dir"));
    }
    if !percent_decode_str(path).eq(percent_decode_str(url.path())) {
        let what = format!(
            "the path `{path}` would be read as `{}`: name the place itself, without `.` and `..`, and write a `\\` as %5C",
            url.path()
        );
        return Err(wrong(&what));
    }
    if url.port() == Some(0) {
        return Err(wrong("there is no port 0"));
    }
    Ok(url)
}

/// The query parameters of a URL. A `+` stays a `+`, since file names and fingerprints contain it.
///
/// # Errors
/// `Usage` for a repeated parameter.
pub(crate) fn query_parameters(url: &Url) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (percent_decode("query", name)?, percent_decode("query", value)?);
        if found.iter().any(|(known, _)| *known == name) {
            return Err(Error::usage(format!("the parameter `{name}` stands twice in the URL: give it once")));
        }
        found.push((name, value));
    }
    Ok(found)
}

/// Returns `value`, the value of the parameter `name`.
///
/// # Errors
/// `Usage` if the value is empty.
pub(crate) fn require_value(name: &str, value: String) -> Result<String> {
    match value.is_empty() {
        true => Err(Error::usage(format!("the parameter `{name}` needs a value"))),
        false => Ok(value),
    }
}

/// Decodes percent-encoding in `part` of a URL (`query`).
///
/// # Errors
/// `Usage`: a `%` without two hexadecimal digits, a result that is not UTF-8, and a NUL, which no server and no store
/// accepts.
pub(crate) fn percent_decode(part: &str, text: &str) -> Result<String> {
    let is_code = |rest: &str| rest.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_code) {
        return Err(Error::usage(format!(
            "the {part} in the URL holds a `%` that is not followed by two hexadecimal digits: a `%` itself is %25"
        )));
    }
    if text.contains("%00") {
        return Err(Error::usage(format!("the {part} in the URL holds a NUL (%00), which is not possible there")));
    }
    let decoded = percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|error| Error::usage(format!("the {part} in the URL is not UTF-8")).caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse(text, "the form").unwrap_err().to_string()
    }

    #[test]
    fn dropped_and_changed_parts_are_errors() {
        for (url, names) in [
            ("mysql://u@h/shop#copy", "`#copy`"),
            ("s3://b/x#2026", "%23"),
            ("mysql://u:a#b@h/d", "%23"),
            ("mysql://u:a/b@h/d", "%2F"),
            ("mysql://u:a?b@h/d", "%3F"),
            ("mysql://u:secret", "no port"),
            ("mysql://u@h:0/d", "port 0"),
            ("mysql://u@h:99999/d", "from 1 to 65535"),
            ("s3://b/../../x", "`/../../x`"),
            ("s3://b/%2e%2e/x", "`/%2e%2e/x`"),
            ("s3://b/./x", "would be read as `/x`"),
            ("file:///a/../b", "`/a/../b`"),
            ("file:///a\\b", "%5C"),
            ("file://", "names no directory"),
            ("file://h", "names no directory"),
            ("file:", "the form"),
            ("file:/x", "the form"),
            ("mysql:/u:secret@h/d", "the form"),
            (" mysql://u@h/d", "no spaces"),
            ("mysql://u@h/a\nb", "no control characters"),
        ] {
            let message = message(url);
            assert!(message.contains(names), "{url}: {message}");
            assert!(!message.contains("secret") && !message.contains("a#b"), "{url}: {message}");
        }
        for right in ["mysql://u:p%23@h:3306/d%2Fb?x=%40", "s3://b/x y/%2Ez", "file:///", "mysql:///d", "s3://b"] {
            assert!(parse(right, "the form").is_ok(), "{right}");
        }
    }

    #[test]
    fn what_is_badly_encoded_is_named_by_its_part() {
        for (text, names) in [("a%", "%25"), ("a%2", "%25"), ("50%off", "%25"), ("a%00b", "NUL"), ("%ff", "not UTF-8")]
        {
            let message = percent_decode("password", text).unwrap_err().to_string();
            assert!(message.contains(names) && message.contains("the password in the URL"), "{text}: {message}");
            assert!(!message.contains("off"), "{message}");
        }
        assert_eq!(percent_decode("database", "50%25%41é").unwrap(), "50%Aé");
    }

    #[test]
    fn repeated_parameters_are_errors() {
        let read = |text: &str| query_parameters(&parse(text, "").unwrap());
        assert_eq!(read("s3://b?a=1%2B+2&c").unwrap(), [("a".into(), "1++2".into()), ("c".into(), String::new())]);
        assert!(read("s3://b?a=1&%61=1").unwrap_err().to_string().contains("`a` stands twice"));
    }
}
