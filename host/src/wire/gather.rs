//! An answer read for the gateway itself: what it says and which calls it makes, in one piece. Pure; who reads bounds it.

use bytes::Bytes;

use super::answer::Usage;
use super::calls::{Delta, Dialect, Part};

/// What an answer says, so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gathered {
    /// Its text.
    pub text: String,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// What it cost, where the server says.
    pub usage: Usage,
}

/// A call of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// The arguments, as the model wrote them.
    pub arguments: String,
    index: Option<u32>,
    id: String,
}

// === impl Gathered ===

impl Gathered {
    /// Takes in an event of a stream, or a whole answer. Other choices than the first are passed over.
    pub fn take(&mut self, dialect: &dyn Dialect, raw: &Bytes) {
        for part in dialect.read(raw) {
            if let Part::Call(delta) = part
                && delta.choice == 0
            {
                self.call(delta);
            }
        }
        let text = &mut self.text;
        dialect.said(raw, &mut |choice, said| {
            if choice == 0 {
                text.push_str(said);
            }
        });
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| call.name.len() + call.arguments.len());
        self.text.len() + calls.sum::<usize>()
    }

    /// Servers that number no calls tell them apart by id, or begin a new one with a name.
    fn call(&mut self, delta: Delta) {
        let is_same = |call: &Call| match delta.index {
            // Some count every call as the first: another id under the same number begins another call.
            Some(index) => call.index == Some(index) && (delta.id.is_empty() || delta.id == call.id),
            None if !delta.id.is_empty() => call.id == delta.id,
            None => delta.name.is_empty(),
        };
        let place = match self.calls.iter().rposition(is_same) {
            Some(place) => place,
            None => {
                self.calls.push(Call { index: delta.index, id: delta.id, ..Call::default() });
                self.calls.len() - 1
            }
        };
        let Some(call) = self.calls.get_mut(place) else { return };
        // Some servers repeat the name in every piece.
        if call.name.is_empty() {
            call.name = delta.name;
        }
        call.arguments.push_str(&delta.arguments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::calls::chat::body::Body;
    use crate::wire::calls::chat::chunk::Chunks;

    fn streamed(deltas: &[&str]) -> Gathered {
        let mut gathered = Gathered::default();
        for delta in deltas {
            let frame = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
            gathered.take(&Chunks::default(), &Bytes::from(frame));
        }
        gathered
    }

    fn calls(gathered: &Gathered) -> Vec<(&str, &str)> {
        gathered.calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
    }

    #[test]
    fn pieces_become_calls_however_they_are_told_apart() {
        let numbered = streamed(&[
            r#"{"content":"I "}"#,
            r#"{"content":"will."}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"edit","arguments":"{\"a\":"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"read","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"edit","arguments":"1}"}}]}"#,
        ]);
        assert_eq!(numbered.text, "I will.");
        assert_eq!(calls(&numbered), [("edit", "{\"a\":1}"), ("read", "{}")]);
        let unnumbered = streamed(&[
            r#"{"tool_calls":[{"id":"a","function":{"name":"edit","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":"}"}}]}"#,
            r#"{"tool_calls":[{"id":"b","function":{"name":"edit","arguments":"{}"}}]}"#,
        ]);
        assert_eq!(calls(&unnumbered), [("edit", "{}"), ("edit", "{}")]);
        assert_eq!(unnumbered.bytes(), 12);
        let all_first = streamed(&[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"edit","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"read","arguments":"{"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}"#,
        ]);
        assert_eq!(calls(&all_first), [("edit", "{}"), ("read", "{}")]);
    }

    #[test]
    fn a_whole_answer_is_gathered() {
        let mut gathered = Gathered::default();
        let body = r#"{"choices":[{"message":{"content":"x","tool_calls":[{"id":"","function":{"name":"edit","arguments":"{}"}}]}},
            {"index":1,"message":{"content":"other"}}]}"#;
        gathered.take(&Body::default(), &Bytes::from(body));
        assert_eq!((gathered.text.as_str(), calls(&gathered)), ("x", vec![("edit", "{}")]));
    }
}
