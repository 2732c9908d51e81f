//! The configuration file: its text taken apart into values that know their line. Unknown keys are faults, so that a
//! misspelt one is not silently the default.

use std::{ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    callers::{self, CallerTables},
    fault::{Fault, Origin, sort_by_line},
    issuers::{self, IssuerTables},
    keys::{self, Form, Key},
    settings::{Layer, Setting},
};

/// What a file holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) layer: Layer,
    pub(super) callers: CallerTables,
    pub(super) issuers: IssuerTables,
    /// Keys that are there with a value of the wrong kind, so they are neither set nor missing.
    pub(super) mistyped: Vec<&'static str>,
    /// The file is not TOML, so nothing is known of what it would have set.
    pub(super) is_broken: bool,
    pub(super) faults: Vec<Fault>,
}

/// Takes a file's text apart.
pub(super) fn read(path: &Path, text: &str) -> Contents {
    let mut reader = Reader {
        path,
        text,
        faults: Vec::new(),
    };
    let mut contents = Contents::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    contents.is_broken = !errors.is_empty();
    if contents.is_broken {
        for error in errors {
            // Only the parser's sentence: its display form would quote the line, which may hold a secret.
            let message = error.message().replace('\n', ", ");
            reader.fault("file", error.span().unwrap_or_default(), message);
        }
    } else {
        for (name, value) in table.get_ref() {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("callers", _) => contents.callers = callers::read(path, text, value),
                ("issuers", _) => contents.issuers = issuers::read(&mut reader, value),
                (outer, DeValue::Table(inner)) if is_nested(outer) => {
                    for (name, value) in inner {
                        let full = format!("{outer}.{}", name.get_ref());
                        reader.value(&full, name.span(), value, &mut contents);
                    }
                }
                (name_text, _) => {
                    reader.value(name_text, name.span(), value, &mut contents);
                }
            }
        }
    }
    contents.faults = reader.faults;
    sort_by_line(&mut contents.faults);
    contents
}

/// Whether keys may stand in a table of this name.
fn is_nested(name: &str) -> bool {
    keys::all().iter().any(|key| {
        key.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// A file being read.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) faults: Vec<Fault>,
}

impl Reader<'_> {
    /// The place of something in the file.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        let before = self.text.bytes().take(span.start);
        Origin::File {
            path: self.path.to_owned(),
            line: 1 + before.filter(|&byte| byte == b'\n').count(),
        }
    }

    /// Notes that something there is wrong.
    pub(super) fn fault(&mut self, key: &str, span: Range<usize>, message: impl Into<String>) {
        self.faults.push(Fault {
            key: key.to_owned(),
            origin: self.origin(&span),
            message: message.into(),
        });
    }

    fn value(
        &mut self,
        name: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        contents: &mut Contents,
    ) {
        let Some(key) = keys::find(name) else {
            self.fault(name, span, "there is no such key");
            return;
        };
        match self.text_of(key, value) {
            Some(text) => {
                let origin = self.origin(&span);
                let setting = Setting { key, text, origin };
                contents.layer.insert(key.name, setting);
            }
            None => contents.mistyped.push(key.base()),
        }
    }

    /// A value as the environment would write it.
    fn text_of(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match (key.form, value.get_ref()) {
            (Form::Text, DeValue::String(text)) => Some(text.to_string()),
            (Form::Truth, DeValue::Boolean(truth)) => Some(truth.to_string()),
            (Form::Number, DeValue::Integer(number)) => Some(number.to_string()),
            (Form::List, _) => {
                let items = self.strings(key.name, value)?;
                if let Some((span, _)) = items.iter().find(|(_, item)| item.contains(',')) {
                    self.fault(
                        key.name,
                        span.clone(),
                        "must be one string for each, without commas in them",
                    );
                    return None;
                }
                let items: Vec<_> = items.into_iter().map(|(_, item)| item).collect();
                Some(items.join(","))
            }
            (Form::Text, _) => {
                self.fault(key.name, value.span(), "must be a string, in quotes");
                None
            }
            (Form::Number, _) => {
                self.fault(
                    key.name,
                    value.span(),
                    "must be a whole number, without quotes",
                );
                None
            }
            (Form::Truth, _) => {
                self.fault(
                    key.name,
                    value.span(),
                    "must be `true` or `false`, without quotes",
                );
                None
            }
        }
    }

    /// An array of strings, each with its place.
    pub(super) fn strings(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Vec<(Range<usize>, String)>> {
        let items = value.get_ref().as_array().and_then(|items| {
            items
                .iter()
                .map(|item| Some((item.span(), item.get_ref().as_str()?.to_owned())))
                .collect::<Option<Vec<_>>>()
        });
        if items.is_none() {
            self.fault(key, value.span(), "must be an array of strings");
        }
        items
    }
}
