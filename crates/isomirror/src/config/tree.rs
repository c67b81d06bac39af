//! The configuration as a tree in which every key and value knows where it was written.
//!
//! Owns reading TOML into that tree and laying one value over another. Knows no key's meaning.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where a key or value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at these bytes.
    File(Range<usize>),
    /// In an environment variable of this name.
    Variable(String),
}

/// A key, and where it was written.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name, unquoted.
    pub name: String,
    /// Where.
    pub origin: Origin,
}

/// A value, and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// TOML's values.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// Any other number; no key takes one.
    Float,
    /// `true` or `false`.
    Boolean(bool),
    /// A date or time without quotes.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values, in file order.
    Table(Table),
}

/// Keys and values, in the order they were written.
pub type Table = Vec<(Key, Node)>;

/// A value that was read, and where it was written.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub origin: Origin,
}

impl Value {
    /// What it is, for "must be a string, not …".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float => "a decimal number",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Whether there are values in it, of whatever kind and for whatever purpose.
    pub fn has_parts(&self) -> bool {
        matches!(self, Value::Array(_) | Value::Table(_))
    }
}

impl Node {
    /// A string from an environment variable.
    pub fn variable(name: &str, value: impl Into<String>) -> Self {
        Self { value: Value::String(value.into()), origin: Origin::Variable(name.to_owned()) }
    }
}

/// Reads a TOML file.
pub fn parse(text: &str) -> Result<Table, toml::de::Error> {
    Ok(table(DeTable::parse(text)?.into_inner(), &Origin::File))
}

/// Reads one TOML value out of an environment variable.
pub fn parse_value(text: &str, variable: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(node(value, &|_| Origin::Variable(variable.to_owned())))
}

fn table(table: DeTable<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Table {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (Spanned<_>, _)| {
        let at = origin(key.span());
        (Key { name: String::from(key.into_inner()), origin: at }, node(value, origin))
    };
    entries.into_iter().map(entry).collect()
}

fn node(spanned: Spanned<DeValue<'_>>, origin: &dyn Fn(Range<usize>) -> Origin) -> Node {
    let at = origin(spanned.span());
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Float,
        },
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(time) => Value::Datetime(time.to_string()),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(item, origin)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, origin)),
    };
    Node { value, origin: at }
}

/// Puts a value at `path`, over what was there. Tables on the way are made where they are missing.
pub fn set(table: &mut Table, path: &[&str], node: Node) {
    let Some((first, rest)) = path.split_first() else { return };
    let origin = node.origin.clone();
    let found = table.iter().position(|(key, _)| key.name == *first);
    if rest.is_empty() {
        match found {
            Some(index) => table[index].1 = node,
            None => table.push((Key { name: (*first).to_owned(), origin }, node)),
        }
        return;
    }
    let index = found.unwrap_or_else(|| {
        let empty = Node { value: Value::Table(Vec::new()), origin: origin.clone() };
        table.push((Key { name: (*first).to_owned(), origin }, empty));
        table.len() - 1
    });
    // What is no table where one must be stays as it is: the reader says so.
    if let Value::Table(inner) = &mut table[index].1.value {
        set(inner, rest, node);
    }
}

/// The table at `path`, to be changed.
pub fn at<'t>(table: &'t mut Table, path: &[&str]) -> Option<&'t mut Table> {
    path.iter().try_fold(table, |table, name| {
        match &mut table.iter_mut().find(|(key, _)| key.name == *name)?.1.value {
            Value::Table(inner) => Some(inner),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_their_place() {
        let text = "z = 1\n[t]\n\"b.c\" = 'x'\na = [true, 0x1_0]\n";
        let tree = parse(text).unwrap();
        let Value::Table(inner) = &tree[1].1.value else { panic!("a table") };
        let names: Vec<_> = inner.iter().map(|(key, _)| key.name.as_str()).collect();
        assert_eq!(names, ["b.c", "a"]);
        let Origin::File(at) = &inner[0].1.origin else { panic!("a file") };
        assert_eq!(&text[at.clone()], "'x'");
        assert!(
            matches!(&inner[1].1.value, Value::Array(items) if matches!(items[1].value, Value::Integer(16)))
        );
    }

    #[test]
    fn a_value_is_laid_over_another_and_tables_are_made() {
        let mut tree = parse("[a]\nb = 1\n").unwrap();
        set(&mut tree, &["a", "b"], Node::variable("V", "2"));
        set(&mut tree, &["c", "d"], Node::variable("V", "3"));
        assert!(matches!(&at(&mut tree, &["a"]).unwrap()[0].1.value, Value::String(s) if s == "2"));
        assert!(matches!(&at(&mut tree, &["c"]).unwrap()[0].1.value, Value::String(s) if s == "3"));
        assert!(at(&mut tree, &["c", "d"]).is_none());
    }
}
