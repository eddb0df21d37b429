//! JSON as Go's `encoding/json` reads it, which every Docker client relies on.
//!
//! Three rules differ from serde's: `null` is accepted for any type and means its zero value; a
//! key that matches no field exactly is matched without regard to case; type errors name the
//! field. [`Lenient`] wraps any deserializer and applies them, without an intermediate tree.
//! Booleans, numbers and texts are otherwise strict: `"1"` is no number.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

/// Reads one JSON document and nothing after it.
pub fn from_slice<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    let mut inner = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Lenient { inner: &mut inner, place: Place::ROOT })?;
    inner.end()?;
    Ok(value)
}

/// Reads a JSON tree.
pub fn from_value<T: for<'de> Deserialize<'de>>(value: serde_json::Value) -> serde_json::Result<T> {
    T::deserialize(Lenient { inner: value, place: Place::ROOT })
}

/// Go's `omitempty` for plain values: leave out what is the zero value.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Go's `omitempty` for slices and maps: leave out `nil` and what has no elements.
pub fn is_empty<T: Emptiness>(value: &Option<T>) -> bool {
    value.as_ref().is_none_or(Emptiness::has_none)
}

/// Collections that `omitempty` looks into.
pub trait Emptiness {
    /// True without elements.
    fn has_none(&self) -> bool;
}

impl<T> Emptiness for Vec<T> {
    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Emptiness for std::collections::BTreeMap<K, V> {
    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Emptiness for indexmap::IndexMap<K, V> {
    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

/// Where in the document a value stands, for messages.
#[derive(Clone, Copy)]
struct Place<'p> {
    structure: &'p str,
    field: &'p str,
}

impl Place<'_> {
    const ROOT: Place<'static> = Place { structure: "", field: "" };

    /// Go's sentence for a value of the wrong type.
    fn mismatch<E: de::Error>(&self, found: &str, wanted: &str) -> E {
        if self.field.is_empty() {
            E::custom(format!("json: cannot unmarshal {found} into Go value of type {wanted}"))
        } else {
            E::custom(format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type {wanted}",
                self.structure, self.field
            ))
        }
    }
}

/// A deserializer with Go's rules around another one.
struct Lenient<'p, D> {
    inner: D,
    place: Place<'p>,
}

/// What the Rust type asked for, in Go's words where a message needs them.
enum Want {
    Any,
    Bool,
    Integer(&'static str),
    Float,
    Text,
    List,
    Map,
    Struct(&'static str, &'static [&'static str]),
}

impl Want {
    fn name(&self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Bool => "bool",
            Self::Integer(name) => name,
            Self::Float => "float64",
            Self::Text => "string",
            Self::List => "[]",
            Self::Map => "map[string]",
            Self::Struct(name, _) => name,
        }
    }
}

impl<'de, D: Deserializer<'de>> Lenient<'_, D> {
    fn read<V: Visitor<'de>>(self, want: Want, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Reader { visitor, want, place: self.place })
    }
}

macro_rules! integers {
    ($($method:ident $name:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.read(Want::Integer($name), visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<'_, D> {
    type Error = D::Error;

    integers! {
        deserialize_i8 "int8" deserialize_i16 "int16" deserialize_i32 "int32" deserialize_i64 "int64"
        deserialize_u8 "uint8" deserialize_u16 "uint16" deserialize_u32 "uint32" deserialize_u64 "uint64"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Any, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Bool, visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Float, visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Float, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Text, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Text, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::List, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.read(Want::List, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.read(Want::Map, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.read(Want::Struct(name, fields), visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(OptionReader { visitor, place: self.place })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct identifier
    }
}

/// Passes an optional value on with the same rules.
struct OptionReader<'p, V> {
    visitor: V,
    place: Place<'p>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for OptionReader<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Lenient { inner, place: self.place })
    }
}

/// Looks at what the document has and hands it to the type's own visitor.
struct Reader<'p, V> {
    visitor: V,
    want: Want,
    place: Place<'p>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Reader<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        match self.want {
            Want::Any => self.visitor.visit_unit(),
            Want::Bool => self.visitor.visit_bool(false),
            Want::Integer(_) => self.visitor.visit_u64(0),
            Want::Float => self.visitor.visit_f64(0.0),
            Want::Text => self.visitor.visit_str(""),
            Want::List => {
                self.visitor.visit_seq(SeqDeserializer::<_, E>::new(std::iter::empty::<String>()))
            }
            Want::Map | Want::Struct(..) => self
                .visitor
                .visit_map(MapDeserializer::<_, E>::new(std::iter::empty::<(String, String)>())),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Bool => self.visitor.visit_bool(value),
            other => Err(self.place.mismatch("bool", other.name())),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Integer(_) | Want::Float => self
                .visitor
                .visit_i64(value)
                .map_err(|_: E| self.place.mismatch(&format!("number {value}"), self.want.name())),
            other => Err(self.place.mismatch("number", other.name())),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Integer(_) | Want::Float => self
                .visitor
                .visit_u64(value)
                .map_err(|_: E| self.place.mismatch(&format!("number {value}"), self.want.name())),
            other => Err(self.place.mismatch("number", other.name())),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Float => self.visitor.visit_f64(value),
            other => Err(self.place.mismatch(&format!("number {value}"), other.name())),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Text => self.visitor.visit_str(value),
            other => Err(self.place.mismatch("string", other.name())),
        }
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<V::Value, E> {
        match self.want {
            Want::Any | Want::Text => self.visitor.visit_string(value),
            other => Err(self.place.mismatch("string", other.name())),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        match self.want {
            Want::Any | Want::List => self.visitor.visit_seq(List { inner, place: self.place }),
            other => Err(self.place.mismatch("array", other.name())),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        match self.want {
            Want::Struct(structure, fields) => {
                self.visitor.visit_map(Fields { inner, structure, fields, field: "" })
            }
            // A number that serde_json kept as text comes as a map too; it reads itself.
            Want::Any | Want::Map => self.visitor.visit_map(Entries { inner, place: self.place }),
            other => Err(self.place.mismatch("object", other.name())),
        }
    }
}

/// Elements of a list.
struct List<'p, A> {
    inner: A,
    place: Place<'p>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for List<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.inner.next_element_seed(Seed { seed, place: self.place })
    }
}

/// Entries of a free map.
struct Entries<'p, A> {
    inner: A,
    place: Place<'p>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Seed { seed, place: self.place })
    }
}

/// Fields of a structure; keys are matched exactly, else without regard to case.
struct Fields<A> {
    inner: A,
    structure: &'static str,
    fields: &'static [&'static str],
    field: &'static str,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.inner.next_key_seed(PhantomData::<std::borrow::Cow<'de, str>>)? else {
            return Ok(None);
        };
        let known = self
            .fields
            .iter()
            .find(|f| ***f == *key)
            .or_else(|| self.fields.iter().find(|f| f.eq_ignore_ascii_case(&key)));
        self.field = known.copied().unwrap_or("");
        let key = known.map_or(&*key, |field| *field);
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        let place = Place { structure: self.structure, field: self.field };
        self.inner.next_value_seed(Seed { seed, place })
    }
}

/// Wraps the deserializer of a nested value.
struct Seed<'p, S> {
    seed: S,
    place: Place<'p>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Lenient { inner, place: self.place })
    }
}

/// A list of words that may also be written as one text (Go's `StrSlice`).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;
        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words(vec![text.to_owned()]))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Words, E> {
                Ok(Words::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64));
                while let Some(word) = seq.next_element::<String>()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(WordsVisitor)
    }
}

/// Go's array of two: missing elements are zero values, further ones are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pair<T>(pub T, pub T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Pair<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = Vec::<T>::deserialize(deserializer)?.into_iter();
        let mut next = || items.next().unwrap_or_default();
        Ok(Self(next(), next()))
    }
}

impl Emptiness for Words {
    fn has_none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Inner {
        memory: i64,
        names: Vec<String>,
        cmd: Option<Words>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Outer {
        flag: bool,
        text: String,
        inner: Inner,
        maybe: Option<Inner>,
        labels: BTreeMap<String, String>,
    }

    fn read(text: &str) -> serde_json::Result<Outer> {
        from_slice(text.as_bytes())
    }

    #[test]
    fn null_is_the_zero_value_of_anything() {
        let text = r#"{"Flag":null,"Text":null,"Inner":null,"Maybe":null,"Labels":null}"#;
        assert_eq!(read(text).unwrap(), Outer::default());
        let text = r#"{"Maybe":{"Memory":null,"Names":null,"Cmd":null},"Labels":{"a":null}}"#;
        let outer = read(text).unwrap();
        assert_eq!(outer.maybe, Some(Inner::default()));
        assert_eq!(outer.labels["a"], "");
    }

    #[test]
    fn keys_match_in_any_case_and_unknown_keys_are_skipped() {
        let outer =
            read(r#"{"FLAG":true,"inner":{"memory":5,"NAMES":["x",null]},"Else":{"a":[1]}}"#)
                .unwrap();
        assert!(outer.flag);
        assert_eq!(outer.inner.memory, 5);
        assert_eq!(outer.inner.names, ["x", ""]);
    }

    #[test]
    fn wrong_types_name_the_field() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(
            error(r#"{"Inner":{"Memory":"5"}}"#).starts_with(
                "json: cannot unmarshal string into Go struct field Inner.Memory of type int64"
            ),
            "{}",
            error(r#"{"Inner":{"Memory":"5"}}"#)
        );
        assert!(error(r#"{"Flag":"yes"}"#).contains("Outer.Flag of type bool"));
        assert!(error(r#"{"Inner":[]}"#).contains("array into Go struct field Outer.Inner"));
        assert!(error(r#"{"Inner":{"Memory":1.5}}"#).contains("number 1.5"));
        assert!(read("[]").is_err());
        assert!(read("{}{}").is_err());
    }

    #[test]
    fn words_may_be_one_text() {
        let words = |text: &str| read(text).unwrap().inner.cmd;
        assert_eq!(words(r#"{"Inner":{"Cmd":"a b"}}"#), Some(Words(vec!["a b".into()])));
        assert_eq!(words(r#"{"Inner":{"Cmd":["a","b"]}}"#).unwrap().0.len(), 2);
        assert_eq!(words(r#"{"Inner":{"Cmd":null}}"#), None);
    }

    #[test]
    fn pairs_take_any_length() {
        let pair = |text: &str| from_slice::<Pair<u64>>(text.as_bytes()).unwrap();
        assert_eq!(pair("null"), Pair(0, 0));
        assert_eq!(pair("[]"), Pair(0, 0));
        assert_eq!(pair("[1]"), Pair(1, 0));
        assert_eq!(pair("[1,2,3]"), Pair(1, 2));
    }

    #[test]
    fn a_tree_reads_like_a_text() {
        let value = serde_json::json!({"flag": true, "Inner": {"Cmd": "x"}});
        assert!(from_value::<Outer>(value).unwrap().flag);
    }
}
