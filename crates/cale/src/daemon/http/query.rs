//! Query parameters, read as dockerd reads them.

use super::error::ApiError;

/// The decoded parameters of a request, in order.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes `a=b&c=d`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            // Go refuses semicolons since 1.17.
            if part.contains(';') {
                return Err(ApiError::invalid("invalid semicolon separator in query"));
            }
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(key, true)?, decode(value, true)?));
        }
        Ok(Self { pairs })
    }

    /// The first value of `key`; empty when it isn't there.
    pub fn text(&self, key: &str) -> &str {
        self.given(key).unwrap_or("")
    }

    /// The first value of `key`, `None` when it isn't there.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// The first value of `key`, `None` when it isn't there or empty.
    pub fn some(&self, key: &str) -> Option<&str> {
        self.given(key).filter(|text| !text.is_empty())
    }

    /// Every value of `key`.
    pub fn all<'q>(&'q self, key: &'q str) -> impl Iterator<Item = &'q str> {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Docker's booleans: everything is true but these.
    pub fn flag(&self, key: &str) -> bool {
        !matches!(
            self.text(key).trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// A boolean with a default for when it isn't there.
    pub fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.given(key).is_some() { self.flag(key) } else { default }
    }

    /// A boolean as Go's `ParseBool` takes it; `None` when it isn't there or empty.
    pub fn strict_flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.text(key) {
            "" => Ok(None),
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Some(false)),
            other => Err(ApiError::invalid(format!("invalid value for {key}: {other}"))),
        }
    }

    /// An integer; `None` when it isn't there or empty.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, ApiError> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                ApiError::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
            }),
        }
    }

    /// The `filters` parameter.
    pub fn filters(&self) -> Result<model::filter::Filters, ApiError> {
        Ok(api::convert::parse_filters(self.text("filters"))?)
    }
}

/// Undoes percent-escaping; `plus`: `+` is a space.
pub fn decode(text: &str, plus: bool) -> Result<String, ApiError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let invalid = || ApiError::invalid(format!("invalid URL escape {text:?}"));
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit =
                    || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(invalid);
                let (high, low) = (digit()?, digit()?);
                // Two hex digits fit a byte.
                out.push((high * 16 + low) as u8);
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("a=b+c%2Fd&e&f=&a=2").unwrap();
        assert_eq!(query.text("a"), "b c/d");
        assert_eq!(query.all("a").count(), 2);
        assert_eq!((query.given("e"), query.some("e"), query.given("x")), (Some(""), None, None));
        assert!(Query::parse("a=%zz").is_err());
        assert!(Query::parse("a=%ff").is_err());
        assert!(Query::parse("a=1;b=2").is_err());
    }

    #[test]
    fn booleans_are_dockers() {
        let flag = |text: &str| Query::parse(text).unwrap().flag("x");
        for yes in ["x=1", "x=true", "x=True", "x=yes", "x=anything"] {
            assert!(flag(yes), "{yes}");
        }
        for no in ["", "x", "x=", "x=0", "x=no", "x=FALSE", "x=none", "x=%20"] {
            assert!(!flag(no), "{no}");
        }
        assert!(Query::parse("").unwrap().flag_or("x", true));
        assert!(Query::parse("x=maybe").unwrap().strict_flag("x").is_err());
    }

    #[test]
    fn integers_are_integers() {
        assert_eq!(Query::parse("n=-5").unwrap().integer("n").unwrap(), Some(-5));
        assert!(Query::parse("n=5x").unwrap().integer("n").is_err());
    }
}
