//! Reads TOML tables key by key and collects every problem with its line, instead of stopping at
//! the first. It also remembers which keys were asked for: they are the schema, so unknown keys
//! and an incomplete example are found by the same list.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use base::WallTime;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values;

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The file as it was named.
    pub(crate) file: String,
    /// Its line, from 1.
    pub(crate) line: usize,
    /// What is wrong and what would be right.
    pub(crate) reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Where in the text something stands.
pub(crate) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The problems of one file, and the keys that it could have held.
pub(crate) struct Sink {
    file: String,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Sink {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file: file.to_owned(),
            line_starts: std::iter::once(0).chain(after_breaks).collect(),
            problems: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Takes note of a problem.
    pub(crate) fn problem(&self, span: &Span, reason: impl Into<String>) {
        let line = self.line_starts.partition_point(|&start| start <= span.start);
        let problem = Problem { file: self.file.clone(), line, reason: reason.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// All problems in the order of the lines.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }

    /// Every key that was asked for, as `table.key`.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }
}

/// One table being read.
pub(crate) struct Section<'a> {
    sink: &'a Sink,
    /// `trunk.credentials`; empty for the file itself.
    path: String,
    table: Option<&'a DeTable<'a>>,
    /// Where the table begins.
    pub(crate) span: Span,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(crate) fn root(sink: &'a Sink, table: &'a DeTable<'a>) -> Self {
        Self { sink, path: String::new(), table: Some(table), span: 0..0, known: BTreeSet::new() }
    }

    fn child(&self, key: &str, table: Option<&'a DeTable<'a>>, span: Span) -> Self {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Section { sink: self.sink, path, table, span, known: BTreeSet::new() }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        let full = if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) };
        self.sink.asked.borrow_mut().insert(full);
        self.table?.get(key)
    }

    /// Takes note of a problem of the table as a whole.
    pub(crate) fn problem(&self, reason: impl Into<String>) {
        self.sink.problem(&self.span, reason);
    }

    /// Takes note of a problem somewhere in the table.
    pub(crate) fn problem_at(&self, span: &Span, reason: impl Into<String>) {
        self.sink.problem(span, reason);
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.sink.problem(&value.span(), format!("`{key}` must be {wanted}, not {found}"));
    }

    /// A string; `None` when the key is absent.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let value = self.value(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(At::new(text.to_string(), value.span()));
        }
        self.wrong_type(key, value, "a string");
        None
    }

    /// A string that must be there; an empty one stands in after a problem.
    pub(crate) fn required(&mut self, key: &'static str) -> At<String> {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            self.problem(format!("`{key}` is missing in {}", self.name()));
        }
        self.text(key).unwrap_or_else(|| At::new(String::new(), self.span.clone()))
    }

    /// A string read by `parse`, whose error completes "`key`: …".
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let text = self.text(key)?;
        match parse(&text.value) {
            Ok(value) => Some(At::new(value, text.span)),
            Err(reason) => {
                self.sink.problem(&text.span, format!("`{key}`: {reason}"));
                None
            }
        }
    }

    /// A string that must be there, read by `parse`; an empty one stands in after a problem.
    pub(crate) fn required_parsed(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<String, String>,
    ) -> At<String> {
        let text = self.required(key);
        if !self.has(key) {
            return text;
        }
        self.parsed(key, parse).unwrap_or(text)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], or: T) -> T {
        let choices = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>();
        self.parsed(key, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value);
            found.ok_or_else(|| format!("\"{text}\" is none of {}", choices().join(", ")))
        })
        .map_or(or, |at| at.value)
    }

    /// A whole number in a range.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        self.number_at(key, range).map_or(default, |at| at.value)
    }

    /// A whole number in a range, and where it stands.
    pub(crate) fn number_at(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<At<u64>> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let number = i128::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(i128::MAX);
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Some(At::new(number, value.span())),
            Ok(_) | Err(_) => {
                let (least, most) = (range.start(), range.end());
                let reason = format!("`{key}` must lie between {least} and {most}, not {number}");
                self.sink.problem(&value.span(), reason);
                None
            }
        }
    }

    /// Seconds.
    pub(crate) fn seconds(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Duration {
        Duration::from_secs(self.number(key, range, default))
    }

    /// Seconds, where 0 means "not at all".
    pub(crate) fn seconds_or_off(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Option<Duration> {
        let seconds = match self.number_at(key, 0..=*range.end()) {
            Some(At { value, span }) if value != 0 && !range.contains(&value) => {
                let (least, most) = (range.start(), range.end());
                let reason = format!("`{key}` must be 0 (off) or {least} to {most}, not {value}");
                self.sink.problem(&span, reason);
                default
            }
            Some(at) => at.value,
            None => default,
        };
        (seconds != 0).then(|| Duration::from_secs(seconds))
    }

    /// A moment: date, time and offset from UTC.
    pub(crate) fn instant(&mut self, key: &'static str) -> Option<WallTime> {
        let value = self.value(key)?;
        let DeValue::Datetime(datetime) = value.get_ref() else {
            self.wrong_type(key, value, "a date with time");
            return None;
        };
        let moment = values::moment(datetime);
        if moment.is_none() {
            let reason = format!("`{key}` must be a time with an offset: 2027-01-01T00:00:00Z");
            self.sink.problem(&value.span(), reason);
        }
        moment
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        if let DeValue::Boolean(flag) = value.get_ref() {
            return *flag;
        }
        self.wrong_type(key, value, "true or false");
        default
    }

    /// True or false; `None` when the key is absent.
    pub(crate) fn flag_if_any(&mut self, key: &'static str) -> Option<bool> {
        self.has(key).then(|| self.flag(key, false))
    }

    /// A list of strings; `None` when the key is absent.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.value(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings");
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(At::new(text.to_string(), item.span())),
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => self.wrong_type(key, item, "a list of strings"),
            }
        }
        Some(texts)
    }

    /// A list of strings, each read by `parse`.
    pub(crate) fn texts_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<At<T>>> {
        let mut values = Vec::new();
        for text in self.texts(key)? {
            match parse(&text.value) {
                Ok(value) => values.push(At::new(value, text.span)),
                Err(reason) => self.sink.problem(&text.span, format!("`{key}`: {reason}")),
            }
        }
        Some(values)
    }

    /// A table; when it is absent, one without any key, so that its defaults apply.
    pub(crate) fn table(&mut self, key: &'static str) -> Self {
        self.table_if(key).unwrap_or_else(|| {
            let span = self.span.clone();
            self.child(key, None, span)
        })
    }

    /// A table; `None` when it is absent.
    pub(crate) fn table_if(&mut self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(self.child(key, Some(table), value.span()))
    }

    /// A list of tables, empty when it is absent.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, &format!("a list of tables: write [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            if let DeValue::Table(table) = item.get_ref() {
                tables.push(self.child(key, Some(table), item.span()));
            } else {
                self.wrong_type(key, item, "a list of tables");
            }
        }
        tables
    }

    /// Whether the key is in the file.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether the key is in the file and not an empty list.
    pub(crate) fn has_items(&self, key: &str) -> bool {
        let value = self.table.and_then(|table| table.get(key));
        value.is_some_and(|value| value.get_ref().as_array().is_none_or(|list| !list.is_empty()))
    }

    fn name(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", self.path) }
    }

    /// Ends the table: what was not asked for is unknown.
    pub(crate) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table.iter() {
            if !self.known.contains(key.get_ref().as_ref()) {
                let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
                let (key, name) = (key.get_ref(), self.name());
                let reason = format!("unknown key `{key}` in {name}; known there: {known}");
                self.sink.problem(&self.key_span(key), reason);
            }
        }
    }

    fn key_span(&self, key: &str) -> Span {
        let entry = self.table.and_then(|table| table.get_key_value(key));
        entry.map_or(self.span.clone(), |(key, _)| key.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, read: impl Fn(&mut Section<'_>)) -> Vec<String> {
        let sink = Sink::new("f", text);
        let table = DeTable::parse(text).unwrap();
        let mut root = Section::root(&sink, table.get_ref());
        read(&mut root);
        root.finish();
        sink.into_problems().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "a = 1\nb = 'x'\nc = 70\n[t]\nz = 1\n[[l]]\n[[l]]\nn = 3\n";
        let found = problems(text, |root| {
            assert_eq!(root.text("a").map(|at| at.value), None);
            assert!(root.flag("b", true));
            assert_eq!(root.number("c", 1..=60, 7), 7);
            let table = root.table("t");
            table.finish();
            for mut item in root.tables("l") {
                item.required("n");
                item.finish();
            }
        });
        assert_eq!(
            found,
            [
                "f:1: `a` must be a string, not a whole number",
                "f:2: `b` must be true or false, not a string",
                "f:3: `c` must lie between 1 and 60, not 70",
                "f:5: unknown key `z` in [t]; known there: ",
                "f:6: `n` is missing in [l]",
                "f:8: `n` must be a string, not a whole number",
            ]
        );
    }

    #[test]
    fn zero_seconds_mean_off_and_too_few_are_refused() {
        let found = problems("a = 0\nb = 5\n", |root| {
            assert_eq!(root.seconds_or_off("a", 10..=60, 30), None);
            assert_eq!(root.seconds_or_off("b", 10..=60, 30), Some(Duration::from_secs(30)));
            assert_eq!(root.seconds_or_off("c", 10..=60, 30), Some(Duration::from_secs(30)));
        });
        assert_eq!(found, ["f:2: `b` must be 0 (off) or 10 to 60, not 5"]);
    }
}
