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
            wrong(&format!("the text after the `:` is no port; if it is a password, add the host, and {ENCODING_HINT}"))
        }
        error => Error::usage(form).caused_by(error),
    })?;
    let path = after.split('?').next().unwrap_or_default();
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
/// `Usage` if the result is not UTF-8.
pub(crate) fn percent_decode(part: &str, text: &str) -> Result<String> {
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
            ("s3://b/../../x", "`/../../x`"),
            ("s3://b/%2e%2e/x", "`/%2e%2e/x`"),
            ("s3://b/./x", "would be read as `/x`"),
            ("file:///a/../b", "`/a/../b`"),
            ("file:///a\\b", "%5C"),
            ("file://", "would be read as"),
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
    fn repeated_parameters_are_errors() {
        let read = |text: &str| query_parameters(&parse(text, "").unwrap());
        assert_eq!(read("s3://b?a=1%2B+2&c").unwrap(), [("a".into(), "1++2".into()), ("c".into(), String::new())]);
        assert!(read("s3://b?a=1&%61=1").unwrap_err().to_string().contains("`a` stands twice"));
    }
}
