//! The text of a recipe as a tree in which every part knows its line, and what is wrong with a part.

use serde::de::{Deserialize, DeserializeOwned};
use serde::ser::Serialize;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::papers::nearest;

/// What is wrong with a recipe, and in which line (from 1).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// A table of a recipe. Keys are taken out one by one; what is left in the end is not known.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// As it is called in errors: `[data]`.
    name: String,
    line: usize,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    line: usize,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Value),
    List(Vec<(usize, Node)>),
    Table(Vec<Entry>),
}

impl Table {
    /// The tree of a TOML text.
    pub(crate) fn parse(text: &str) -> Result<Table, Wrong> {
        let line = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count();
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Wrong { line: line(at), why: format!("not TOML: {}", error.message()) }
        })?;
        let entries = entries(table.into_inner(), &line)?;
        Ok(Table { name: "the recipe".into(), line: 1, entries, asked: Vec::new() })
    }

    /// Something wrong with this table.
    pub(crate) fn wrong(&self, why: impl std::fmt::Display) -> Wrong {
        Wrong { line: self.line, why: format!("{}: {why}", self.name) }
    }

    /// All of it but the keys `without`, in an order that does not depend on the text's.
    pub(crate) fn canonical(&self, without: &[&str]) -> Value {
        let kept = self.entries.iter().filter(|entry| !without.contains(&entry.key.as_str()));
        let mut kept: Vec<_> = kept.map(|entry| (entry.key.clone(), entry.node.value())).collect();
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(kept.into_iter().collect())
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.asked.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// The value of `key`, if there is one.
    pub(crate) fn get<T: Serialize + DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, Wrong> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let wrong = |why: String| Wrong { line: entry.line, why: format!("{}: `{key}`: {why}", self.name) };
        let value = T::deserialize(entry.node.value()).map_err(|error| wrong(explained(&error.to_string())))?;
        let kept = serde_json::to_value(&value).map_err(|error| wrong(error.to_string()))?;
        match unknown(&entry.node, &kept) {
            Some((line, why)) => Err(Wrong { line, why: format!("{}: `{key}`: {why}", self.name) }),
            None => Ok(Some(value)),
        }
    }

    /// The value of `key`, or what it is without.
    pub(crate) fn or<T: Serialize + DeserializeOwned>(&mut self, key: &'static str, default: T) -> Result<T, Wrong> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// The value of `key`, which must be there.
    pub(crate) fn need<T: Serialize + DeserializeOwned>(&mut self, key: &'static str, example: &str) -> Result<T, Wrong> {
        let found = self.get(key)?;
        found.ok_or_else(|| self.wrong(format!("`{key}` is missing; give it, for example {example}")))
    }

    /// The table of `key`, if there is one.
    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<Table>, Wrong> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let name = self.inner(key);
        match entry.node {
            Node::Table(entries) => Ok(Some(Table { name, line: entry.line, entries, asked: Vec::new() })),
            _ => Err(Wrong { line: entry.line, why: format!("{name} must be a table, like {key} = {{ … }}") }),
        }
    }

    /// The tables of the list `key`; none if it is not there.
    pub(crate) fn tables(&mut self, key: &'static str) -> Result<Vec<Table>, Wrong> {
        let Some(entry) = self.take(key) else { return Ok(Vec::new()) };
        let wrong =
            |line| Wrong { line, why: format!("{} must be a list of tables, like {key} = [{{ … }}, {{ … }}]", self.inner(key)) };
        let Node::List(list) = entry.node else { return Err(wrong(entry.line)) };
        let one = |(k, (line, node)): (usize, (usize, Node))| match node {
            Node::Table(entries) => Ok(Table { name: format!("{} {}", self.inner(key), k + 1), line, entries, asked: Vec::new() }),
            _ => Err(wrong(line)),
        };
        list.into_iter().enumerate().map(one).collect()
    }

    /// A choice by name, `key = "name"` or `key = { name = "name", … }`: which of `names`, and its options.
    pub(crate) fn named(&mut self, key: &'static str, names: &[&'static str]) -> Result<Option<(&'static str, Table)>, Wrong> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let mut table = Table { name: self.inner(key), line: entry.line, entries: Vec::new(), asked: vec!["name"] };
        let said = match entry.node {
            Node::Leaf(Value::String(said)) => Some(said),
            Node::Table(entries) => {
                table.entries = entries;
                table.get::<String>("name")?
            }
            _ => None,
        };
        let listed = names.join(", ");
        let Some(said) = said else {
            return Err(table.wrong(format!("give a name, or {{ name = …, and its options }}; there are: {listed}")));
        };
        match names.iter().find(|name| **name == said) {
            Some(name) => Ok(Some((name, table))),
            None => Err(table.wrong(format!("there is no `{said}`{}; there are: {listed}", meant(&said, names.iter().copied())))),
        }
    }

    /// A choice with a value, `key = { random = 0.1 }`; of a word, `key = "all"`, the table `{ all = true }`.
    pub(crate) fn choice(&mut self, key: &'static str) -> Result<Option<Table>, Wrong> {
        let Some(entry) = self.take(key) else { return Ok(None) };
        let (name, line) = (format!("{}: `{key}`", self.name), entry.line);
        match entry.node {
            Node::Table(entries) => Ok(Some(Table { name, line, entries, asked: Vec::new() })),
            Node::Leaf(Value::String(key)) => {
                let entries = vec![Entry { key, line, node: Node::Leaf(Value::Bool(true)) }];
                Ok(Some(Table { name, line, entries, asked: Vec::new() }))
            }
            _ => Err(Wrong { line, why: format!("{name} must be a name or a table") }),
        }
    }

    /// `default` with all that is left of the table written over it, key by key.
    pub(crate) fn over<T: Serialize + DeserializeOwned>(self, default: &T) -> Result<T, Wrong> {
        self.over_with(default, &[], &[])
    }

    /// As [`Table::over`]: `more` are keys that the default does not show, and `less` are keys of it that are none of the table.
    pub(crate) fn over_with<T: Serialize + DeserializeOwned>(
        mut self,
        default: &T,
        more: &[&'static str],
        less: &[&str],
    ) -> Result<T, Wrong> {
        let whole = serde_json::to_value(default).map_err(|error| self.wrong(error))?;
        let Value::Object(mut whole) = whole else { return Err(self.wrong("has no options")) };
        let known: Vec<String> =
            whole.keys().map(String::as_str).filter(|key| !less.contains(key)).chain(more.iter().copied()).map(String::from).collect();
        let mut value = T::deserialize(Value::Object(whole.clone())).map_err(|error| self.wrong(error))?;
        for entry in std::mem::take(&mut self.entries) {
            if !known.contains(&entry.key) {
                let known = known.iter().map(String::as_str).chain(self.asked.iter().copied());
                return Err(no_key(&self.name, &entry, known.collect()));
            }
            let wrong = |line, why: String| Wrong { line, why: format!("{}: `{}`: {why}", self.name, entry.key) };
            whole.insert(entry.key.clone(), entry.node.value());
            value = T::deserialize(Value::Object(whole.clone())).map_err(|error| wrong(entry.line, explained(&error.to_string())))?;
            let kept = serde_json::to_value(&value).map_err(|error| wrong(entry.line, error.to_string()))?;
            if let Some((line, why)) = kept.get(&entry.key).and_then(|kept| unknown(&entry.node, kept)) {
                return Err(wrong(line, why));
            }
        }
        Ok(value)
    }

    /// Nothing may be left.
    pub(crate) fn done(self) -> Result<(), Wrong> {
        match self.entries.first() {
            Some(entry) => Err(no_key(&self.name, entry, self.asked)),
            None => Ok(()),
        }
    }

    fn inner(&self, key: &str) -> String {
        let outer = self.name.trim_start_matches('[').trim_end_matches(']');
        if outer == "the recipe" { format!("[{key}]") } else { format!("[{outer}.{key}]") }
    }
}

impl Node {
    fn value(&self) -> Value {
        match self {
            Node::Leaf(value) => value.clone(),
            Node::List(list) => Value::Array(list.iter().map(|(_, node)| node.value()).collect()),
            Node::Table(entries) => {
                let mut entries: Vec<&Entry> = entries.iter().collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                Value::Object(entries.into_iter().map(|entry| (entry.key.clone(), entry.node.value())).collect::<Map<_, _>>())
            }
        }
    }
}

fn entries(table: DeTable<'_>, line: &impl Fn(usize) -> usize) -> Result<Vec<Entry>, Wrong> {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let at = line(key.span().start);
        let key = std::borrow::Cow::into_owned(key.into_inner());
        let node = node(value, line).map_err(|why| Wrong { line: why.line, why: format!("`{key}`: {}", why.why) })?;
        Ok(Entry { key, line: at, node })
    };
    table.into_iter().map(entry).collect()
}

fn node(value: Spanned<DeValue<'_>>, line: &impl Fn(usize) -> usize) -> Result<Node, Wrong> {
    let at = line(value.span().start);
    match value.into_inner() {
        DeValue::Table(table) => Ok(Node::Table(entries(table, line)?)),
        DeValue::Array(list) => {
            let one = |item: Spanned<DeValue<'_>>| Ok((line(item.span().start), node(item, line)?));
            Ok(Node::List(list.into_iter().map(one).collect::<Result<_, Wrong>>()?))
        }
        leaf => {
            let value = Value::deserialize(ValueDeserializer::from(Spanned::new(0..0, leaf)));
            let value = value.map_err(|error| Wrong { line: at, why: error.message().into() })?;
            // JSON has no NaN and no infinity, and no number of a recipe may be one.
            if value.is_null() { Err(Wrong { line: at, why: "must be a finite number".into() }) } else { Ok(Node::Leaf(value)) }
        }
    }
}

/// The first key of a table in `node` that reading has dropped, with its line.
fn unknown(node: &Node, kept: &Value) -> Option<(usize, String)> {
    match (node, kept) {
        (Node::Table(entries), Value::Object(known)) => entries.iter().find_map(|entry| match known.get(&entry.key) {
            Some(kept) => unknown(&entry.node, kept),
            None => {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                let hint = meant(&entry.key, known.iter().copied());
                Some((entry.line, format!("there is no key `{}`{hint}; there are: {}", entry.key, known.join(", "))))
            }
        }),
        (Node::List(list), Value::Array(kept)) => list.iter().zip(kept).find_map(|((_, node), kept)| unknown(node, kept)),
        _ => None,
    }
}

fn no_key(table: &str, entry: &Entry, mut known: Vec<&str>) -> Wrong {
    known.sort_unstable();
    known.dedup();
    let hint = meant(&entry.key, known.iter().copied());
    Wrong { line: entry.line, why: format!("{table} has no key `{}`{hint}; its keys are: {}", entry.key, known.join(", ")) }
}

/// " (did you mean `x`?)" of a word that is near one of the names.
pub(crate) fn meant<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or(String::new(), |name| format!(" (did you mean `{name}`?)"))
}

/// What serde said of a name that it does not know, with the nearest it does.
fn explained(said: &str) -> String {
    let mut words = said.split('`').skip(1).step_by(2);
    match words.next() {
        Some(word) if said.starts_with("unknown") => format!("{said}{}", meant(word, words)),
        _ => said.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snn_core::Surrogate;
    use snn_data::TemplateParams;
    use snn_learn::{Loss, SparseBptt};

    const TEXT: &str = "seed = 1\n[data]\nname = \"templates\"\ntrain = 10\n\n[rule]\nname = \"sparse_bptt\"\nsurrogate = { shape = \"triangle\", gamma = 0.3, width = 1 }\n";

    fn data(text: &str) -> Result<TemplateParams, Wrong> {
        let mut table = Table::parse(text)?;
        let (name, data) = table.named("data", &["templates", "xor"])?.expect("data");
        assert_eq!(name, "templates");
        data.over(&TemplateParams::default())
    }

    #[test]
    fn defaults_stay_where_nothing_is_said() {
        assert_eq!(data(TEXT), Ok(TemplateParams { train: 10, ..TemplateParams::default() }));
        assert_eq!(data("data = \"templates\""), Ok(TemplateParams::default()));
        let mut table = Table::parse(TEXT).unwrap();
        let (_, rule) = table.named("rule", &["sparse_bptt"]).unwrap().unwrap();
        assert_eq!(rule.over(&SparseBptt::default()).unwrap().surrogate, Surrogate::triangle(0.3, 1.0));
        assert_eq!(table.get::<u64>("seed"), Ok(Some(1)));
        assert_eq!(table.done().unwrap_err().line, 2);
    }

    #[track_caller]
    fn wrong<T: std::fmt::Debug>(found: Result<T, Wrong>, line: usize, says: &[&str]) {
        let wrong = found.unwrap_err();
        assert_eq!(wrong.line, line, "{}", wrong.why);
        says.iter().for_each(|part| assert!(wrong.why.contains(part), "no \"{part}\" in {}", wrong.why));
    }

    #[test]
    fn what_is_wrong_has_a_line_and_a_nearest_name() {
        wrong(data(&TEXT.replace("train", "trian")), 4, &["[data] has no key `trian`", "did you mean `train`?", "jitter"]);
        wrong(data(&TEXT.replace("10", "\"ten\"")), 4, &["[data]: `train`", "\"ten\"", "usize"]);
        wrong(data(&TEXT.replace("\"templates\"", "\"tempaltes\"")), 2, &["no `tempaltes`", "did you mean `templates`?", "xor"]);
        wrong(data("data = 3"), 1, &["[data]: give a name"]);
        wrong(data("a = 1\nb = = 2"), 2, &["not TOML"]);
        wrong(data("data = \"templates\"\nx = nan"), 2, &["`x`", "finite"]);
        let rule = |text: &str| Table::parse(text)?.named("rule", &["sparse_bptt"])?.expect("a rule").1.over(&SparseBptt::default());
        wrong(rule(&TEXT.replace("width", "widht")), 8, &["[rule]: `surrogate`", "missing field `width`"]);
        let more = TEXT.replace("width = 1", "width = 1, windw = 0.2");
        wrong(rule(&more), 8, &["`surrogate`: there is no key `windw`"]);
        wrong(Table::parse("loss = { cross_entropy = \"maks\" }").unwrap().get::<Loss>("loss"), 1, &["`loss`", "did you mean `max`?"]);
        wrong(Table::parse("rule = 1\nx = { y = 2 }").unwrap().tables("x"), 2, &["[x] must be a list of tables"]);
    }

    #[test]
    fn order_and_remarks_do_not_count() {
        let canonical = |text: &str| Table::parse(text).unwrap().canonical(&["out"]).to_string();
        assert_eq!(canonical("b = 1 # one\na = { d = 2, c = 3 }\nout = \"x\""), canonical("b = 1\n[a]\nc = 3\nd = 2"));
        assert_ne!(canonical("a = 1"), canonical("a = 2"));
    }
}
