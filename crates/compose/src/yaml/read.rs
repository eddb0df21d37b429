//! Events of the parser to a tree: anchors, aliases, merge keys, duplicate keys, bounds.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Key, Map, Mark, Node, Place, Value, scalar};

/// Aliases of aliases can make a small file enormous; no real project has this many values.
const NODES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 128;

/// A text that is no YAML that we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// Why.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// Reads the documents of a file (compose merges them in order). `file` goes into every place.
pub fn read(text: &str, file: u16) -> Result<Vec<Node>, ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { file, anchors: HashMap::new(), nodes: 0, depth: 0 };
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    while let Some((event, span)) = builder.next(&mut parser)? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            event => documents.push(builder.node(event, span, &mut parser)?),
        }
    }
    Ok(documents)
}

struct Builder {
    file: u16,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    depth: usize,
}

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

impl Builder {
    /// The next event that isn't a comment.
    fn next<'a>(&self, parser: &mut Events<'a>) -> Result<Option<(Event<'a>, Span)>, ReadError> {
        loop {
            match parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(Some(next)),
                Some(Err(error)) => {
                    let marker = error.marker();
                    let place = self.place_at(marker.line(), marker.col());
                    return Err(ReadError { message: error.to_string(), place });
                }
            }
        }
    }

    fn place(&self, span: &Span) -> Place {
        self.place_at(span.start.line(), span.start.col())
    }

    fn place_at(&self, line: usize, column: usize) -> Place {
        let clamp = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Place { file: self.file, line: clamp(line), column: clamp(column + 1) }
    }

    fn node(
        &mut self,
        event: Event<'_>,
        span: Span,
        parser: &mut Events<'_>,
    ) -> Result<Node, ReadError> {
        let place = self.place(&span);
        let fault = |message: &str| ReadError { message: message.to_owned(), place };
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > NODES_MAX || self.depth > DEPTH_MAX {
            return Err(fault("document is too large or too deep"));
        }
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = typed(&text, style, tag.as_deref());
                (value, anchor, tag.map(std::borrow::Cow::into_owned))
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                (Value::List(self.items(parser)?), anchor, tag)
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                (Value::Map(self.entries(parser)?), anchor, tag)
            }
            Event::Alias(id) => {
                self.depth -= 1;
                let node = self.anchors.get(&id).cloned().ok_or_else(|| fault("unknown anchor"))?;
                self.nodes += size(&node);
                if self.nodes > NODES_MAX {
                    return Err(fault("document contains excessive aliasing"));
                }
                return Ok(node);
            }
            _ => return Err(fault("unexpected end of document")),
        };
        self.depth -= 1;
        let node = Node { value, mark: tag.as_ref().and_then(mark), place };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn items(&mut self, parser: &mut Events<'_>) -> Result<Vec<Node>, ReadError> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next(parser)? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, span, parser)?);
        }
        Ok(items)
    }

    fn entries(&mut self, parser: &mut Events<'_>) -> Result<Map, ReadError> {
        let mut map = Map::default();
        let mut merged = Vec::new();
        while let Some((event, span)) = self.next(parser)? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, parser)?;
            let fault = |message: String| ReadError { message, place: key.place };
            let Some((event, span)) = self.next(parser)? else {
                return Err(fault("unexpected end of document".to_owned()));
            };
            let value = self.node(event, span, parser)?;
            let text = match (&key.value, key.scalar_text()) {
                (_, Some(text)) => text,
                (Value::Null, None) => "null".to_owned(),
                _ => return Err(fault("a mapping's key must be a scalar".to_owned())),
            };
            if text == "<<" {
                merged.push(value);
            } else if let Some((first, _)) = map.iter().find(|(found, _)| found.text == text) {
                let line = first.place.line;
                return Err(fault(format!("mapping key {text:?} already defined at line {line}")));
            } else {
                map.insert(Key { text, place: key.place }, value);
            }
        }
        for source in merged {
            merge(&mut map, source)?;
        }
        Ok(map)
    }
}

/// Adds the entries of a merge key; what the mapping says itself wins, and so do earlier sources.
fn merge(map: &mut Map, source: Node) -> Result<(), ReadError> {
    let place = source.place;
    match source.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                if map.get(&key.text).is_none() {
                    map.insert(key, value);
                }
            }
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| merge(map, item)),
        _ => Err(ReadError {
            message: "map merge requires map or sequence of maps as the value".to_owned(),
            place,
        }),
    }
}

fn typed(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let core = tag.filter(|tag| tag.handle() == "tag:yaml.org,2002:").map(Tag::suffix);
    match (core, style) {
        (Some("str"), _) => Value::Text(text.to_owned()),
        (Some(_), _) | (None, ScalarStyle::Plain) => scalar::plain(text),
        (None, _) => Value::Text(text.to_owned()),
    }
}

fn mark(tag: &Tag) -> Option<Mark> {
    match (tag.handle(), tag.suffix()) {
        ("!", "reset") => Some(Mark::Reset),
        ("!", "override") => Some(Mark::Override),
        _ => None,
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(map) => 1 + map.iter().map(|(_, node)| size(node)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Map {
        read(text, 0).unwrap().remove(0).map().unwrap().clone()
    }

    #[test]
    fn merge_keys_give_way() {
        let map = one("base: &b {x: 1, y: 2}\nother: &o\n  y: 3\nz:\n  <<: [*b, *o]\n  x: 9\n");
        let z = map.get("z").unwrap().map().unwrap();
        assert_eq!(z.get("x").unwrap().value, Value::Int(9));
        assert_eq!(z.get("y").unwrap().value, Value::Int(2));
    }

    #[test]
    fn places_and_marks_are_kept() {
        let map = one("a:\n  b: !reset null\n  c: !override [1]\n");
        let a = map.get("a").unwrap().map().unwrap();
        assert_eq!(a.get("b").unwrap().mark, Some(Mark::Reset));
        assert_eq!(a.get("c").unwrap().mark, Some(Mark::Override));
        assert_eq!(a.get("b").unwrap().place.line, 2);
    }

    #[test]
    fn duplicates_and_bombs_are_refused() {
        let error = read("a: 1\nb: 2\na: 3\n", 0).unwrap_err();
        assert_eq!((error.place.line, error.message.contains("line 1")), (3, true));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let prior = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![prior; 10].join(",")));
        }
        assert!(read(&bomb, 0).unwrap_err().message.contains("aliasing"));
        let deep = "[".repeat(5000);
        assert!(read(&deep, 0).is_err());
    }
}
