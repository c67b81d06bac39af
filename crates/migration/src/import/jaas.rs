//! `sasl.jaas.config`: the login module and its options, as Java's tokenizer takes them.
//!
//! Never shows any of it.

/// A login.
pub(super) struct Jaas {
    /// The module's class.
    pub module: String,
    options: Vec<(String, String)>,
}

/// A word or a quoted text, or one of the signs `=` and `;`.
enum Token {
    Text(String),
    Sign(char),
}

impl Jaas {
    /// Reads `class flag key=value … ;`, of several modules the first; none where it is not that.
    pub fn read(text: &str) -> Option<Self> {
        let mut tokens = tokens(text)?.into_iter();
        let (Token::Text(module), Token::Text(_)) = (tokens.next()?, tokens.next()?) else { return None };
        let mut options = Vec::new();
        loop {
            match (tokens.next(), tokens.next(), tokens.next()) {
                (None | Some(Token::Sign(';')), ..) => return Some(Self { module, options }),
                (Some(Token::Text(key)), Some(Token::Sign('=')), Some(Token::Text(value))) => {
                    options.push((key, value));
                }
                _ => return None,
            }
        }
    }

    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == option).map(|(_, value)| value.as_str())
    }
}

/// None where a quote stays open.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let (mut tokens, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            '=' | ';' => tokens.push(Token::Sign(c)),
            '"' | '\'' => {
                let mut token = String::new();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' => token.push(match chars.next()? {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            other => other,
                        }),
                        other => token.push(other),
                    }
                }
                tokens.push(Token::Text(token));
            }
            _ => {
                let mut token = c.to_string();
                while let Some(next) = chars.next_if(|n| !n.is_whitespace() && !"=;\"'".contains(*n)) {
                    token.push(next);
                }
                tokens.push(Token::Text(token));
            }
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_whatever_stands_in_its_quotes() {
        let text = "a.b.PlainLoginModule required  username=\"a b\" password='x\\\"y=;\\\\' c=d ;";
        let jaas = Jaas::read(text).unwrap();
        assert_eq!(jaas.module, "a.b.PlainLoginModule");
        let get = |option| jaas.get(option);
        assert_eq!((get("username"), get("password"), get("c")), (Some("a b"), Some("x\"y=;\\"), Some("d")));
        assert!(Jaas::read("a.B required").is_some_and(|jaas| jaas.get("username").is_none()));
        for bad in ["", "a.B", "a.B required username", "a.B required password=\"x;", "a.B required = x y;"] {
            assert!(Jaas::read(bad).is_none(), "{bad}");
        }
    }
}
