//! A body's top-level members, each as the bytes it came in until it is written over. What nobody touches goes upstream
//! as the client spelled it: numbers of any length, and strings that no parser would take.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::json::{self, Malformed, Scanner};

/// The members, in the body's order.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<Member<'a>>,
    /// Where in `members` each name stands, so that a body of many members costs no search for each.
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Member<'a> {
    /// As it is written, between its quotes.
    key: Cow<'a, [u8]>,
    value: Slot<'a>,
}

#[derive(Debug)]
enum Slot<'a> {
    /// As it came.
    Raw(&'a [u8]),
    /// Written by us.
    Ours(Value),
    /// Removed.
    Gone,
}

// === impl Members ===

impl<'a> Members<'a> {
    /// The members of an object. Of members with the same name, the last one counts.
    pub fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        let mut members = Self::default();
        let mut scan = Scanner::new(text);
        scan.object(|scan, key| {
            let value = scan.value()?;
            let value = Slot::Raw(text.get(value).unwrap_or_default());
            members.put(json::key(key), Cow::Borrowed(key), value);
            Ok(())
        })?;
        scan.end()?;
        Ok(members)
    }

    fn put(&mut self, name: String, key: Cow<'a, [u8]>, value: Slot<'a>) {
        let place = *self.places.entry(name).or_insert(self.members.len());
        match self.members.get_mut(place) {
            Some(member) => member.value = value,
            None => self.members.push(Member { key, value }),
        }
    }

    /// Sets a member; a new one stands at the end.
    pub fn insert(&mut self, name: &str, value: Value) {
        let quoted = Value::from(name).to_string();
        let key = quoted.get(1..quoted.len() - 1).unwrap_or_default().as_bytes().to_vec();
        self.put(name.to_owned(), Cow::Owned(key), Slot::Ours(value));
    }

    /// Removes a member, if it is there.
    pub fn remove(&mut self, name: &str) {
        if let Some(member) = self.places.get(name).and_then(|place| self.members.get_mut(*place)) {
            member.value = Slot::Gone;
        }
    }

    /// Merges a patch (RFC 7396). Only members that it changes inside are parsed.
    pub fn merge(&mut self, patch: Map<String, Value>) -> Result<(), serde_json::Error> {
        for (name, change) in patch {
            if change.is_null() {
                self.remove(&name);
                continue;
            }
            let mut value = if change.is_object() { self.take(&name)? } else { Value::Null };
            json_patch::merge(&mut value, &change);
            self.insert(&name, value);
        }
        Ok(())
    }

    /// A member's value, parsed; null where there is none.
    fn take(&mut self, name: &str) -> Result<Value, serde_json::Error> {
        let member = self.places.get(name).and_then(|place| self.members.get_mut(*place));
        match member.map(|member| std::mem::replace(&mut member.value, Slot::Gone)) {
            Some(Slot::Raw(raw)) => serde_json::from_slice(&json::mended(raw)),
            Some(Slot::Ours(value)) => Ok(value),
            Some(Slot::Gone) | None => Ok(Value::Null),
        }
    }

    /// The object that they make.
    pub fn write(&self) -> Vec<u8> {
        let mut text = vec![b'{'];
        for Member { key, value } in &self.members {
            let value = match value {
                Slot::Raw(raw) => Cow::Borrowed(*raw),
                Slot::Ours(value) => Cow::Owned(value.to_string().into_bytes()),
                Slot::Gone => continue,
            };
            text.extend_from_slice(if text.len() > 1 { b",\"" } else { b"\"" });
            text.extend_from_slice(key);
            text.extend_from_slice(b"\":");
            text.extend_from_slice(&value);
        }
        text.push(b'}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_as_it_came() {
        let body = r#" { "a" : 1.50e+3 , "b":{"n":12345678901234567890123,"s":"\ud83d"} ,"c" :[ 1, 2 ],"\ud83d":0,"a":1e400} "#;
        let cases = [
            ("{}", r#"{"a":1e400,"b":{"n":12345678901234567890123,"s":"\ud83d"},"c":[ 1, 2 ],"\ud83d":0}"#),
            (
                r#"{"c":null,"z":null,"d\n":{"e":null,"f":1}}"#,
                r#"{"a":1e400,"b":{"n":12345678901234567890123,"s":"\ud83d"},"\ud83d":0,"d\n":{"f":1}}"#,
            ),
            (r#"{"b":"new","c":{"x":{"y":1}}}"#, r#"{"a":1e400,"b":"new","c":{"x":{"y":1}},"\ud83d":0}"#),
            (
                r#"{"b":{"n":null,"t":true}}"#,
                "{\"a\":1e400,\"b\":{\"s\":\"\u{fffd}\",\"t\":true},\"c\":[ 1, 2 ],\"\\ud83d\":0}",
            ),
        ];
        for (patch, expected) in cases {
            let mut members = Members::read(body.as_bytes()).unwrap();
            members.merge(serde_json::from_str(patch).unwrap()).unwrap();
            assert_eq!(String::from_utf8(members.write()).unwrap(), expected, "{patch}");
        }
    }

    #[test]
    fn patches_build_on_each_other() {
        let mut members = Members::read(br#"{"m\u006f":{"a":1}}"#).unwrap();
        for patch in [r#"{"mo":{"b":2}}"#, r#"{"mo":null}"#, r#"{"mo":{"c":3}}"#, r#"{"mo":{"d":4}}"#] {
            members.merge(serde_json::from_str(patch).unwrap()).unwrap();
        }
        assert_eq!(members.write(), br#"{"m\u006f":{"c":3,"d":4}}"#);
    }
}
