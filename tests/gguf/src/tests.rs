//! The writer's own tests: a reader of a few lines takes the files apart again, and every chain is walked.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A file's head, taken apart.
#[derive(Debug)]
struct Read {
    values: BTreeMap<String, Got>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    begin: u64,
    bytes: Vec<u8>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Number(u64),
    Text(String),
    List(Vec<Got>),
}

/// What is left to read.
struct Cursor<'a>(&'a [u8], usize);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        self.1 += bytes;
        &self.0[self.1 - bytes..self.1]
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let bytes = usize::try_from(self.u64()).unwrap();
        String::from_utf8(self.take(bytes).to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Got {
        match kind {
            4..=6 => Got::Number(self.u32().into()),
            7 => Got::Number(self.take(1)[0].into()),
            8 => Got::Text(self.text()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                Got::List((0..count).map(|_| self.value(kind)).collect())
            }
            other => panic!("no such kind: {other}"),
        }
    }
}

impl Read {
    fn of(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut at = Cursor(&bytes, 0);
        assert_eq!(at.take(4), b"GGUF");
        assert_eq!(at.u32(), 3);
        let (tensors, keys) = (at.u64(), at.u64());
        let mut values = BTreeMap::new();
        for _ in 0..keys {
            let (key, kind) = (at.text(), at.u32());
            values.insert(key, at.value(kind));
        }
        let mut tensor = || {
            let (name, dimensions) = (at.text(), at.u32());
            let shape: Vec<u64> = (0..dimensions).map(|_| at.u64()).collect();
            (name, shape, at.u32(), at.u64())
        };
        let tensors = (0..tensors).map(|_| tensor()).collect();
        let begin = u64::try_from(at.1).unwrap().next_multiple_of(32);
        Self { values, tensors, begin, bytes }
    }

    fn number(&self, key: &str) -> u64 {
        match &self.values[key] {
            Got::Number(number) => *number,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn tokens(&self) -> Vec<String> {
        let Got::List(tokens) = &self.values["tokenizer.ggml.tokens"] else { panic!("no tokens") };
        let text = |value: &Got| match value {
            Got::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        tokens.iter().map(text).collect()
    }

    /// A row of a matrix of 16-bit floats, as places and bits of what is not zero.
    fn row(&self, name: &str, row: u64) -> Vec<(u64, u16)> {
        let (_, shape, kind, offset) = self.tensors.iter().find(|it| it.0 == name).unwrap();
        assert_eq!(*kind, 1);
        let begin = usize::try_from(self.begin + offset + row * shape[0] * 2).unwrap();
        let numbers = self.bytes[begin..][..usize::try_from(shape[0] * 2).unwrap()].chunks_exact(2);
        let bits = numbers.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        (0..).zip(bits).filter(|(_, bits)| *bits != 0).collect()
    }

    /// What the model says from this token on, at most so many tokens of it.
    fn said(&self, from: &str, tokens_max: usize) -> String {
        let tokens = self.tokens();
        let next = |token: usize| {
            let rows = (0..tokens.len()).filter(|row| {
                let row = self.row("output.weight", u64::try_from(*row).unwrap());
                row.iter().any(|(place, bits)| *place == u64::try_from(token).unwrap() && *bits == 0x4800)
            });
            let rows: Vec<usize> = rows.collect();
            assert_eq!(rows.len(), 1, "{} is followed by {rows:?}", tokens[token]);
            rows[0]
        };
        let mut at = tokens.iter().position(|token| token == from).unwrap();
        let mut said = String::new();
        for _ in 0..tokens_max {
            at = next(at);
            if tokens[at] == "<|im_end|>" {
                break;
            }
            said.push_str(&tokens[at]);
        }
        said.replace('Ġ', " ").replace('Ċ', "\n")
    }
}

fn written(script: &Script) -> (TempDir, Read) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    let bytes = script.write(&path).unwrap();
    let read = Read::of(&path);
    assert_eq!(bytes, u64::try_from(read.bytes.len()).unwrap());
    (folder, read)
}

#[test]
fn a_file_is_what_the_format_says() {
    let (_folder, read) = written(&Script::new("alpha").context_length(8192).feed_forward(96));
    assert_eq!(read.values["general.architecture"], Got::Text("llama".to_owned()));
    assert_eq!(read.values["general.name"], Got::Text("alpha".to_owned()));
    assert_eq!(read.number("llama.context_length"), 8192);
    let (width, tokens) = (read.number("llama.embedding_length"), read.tokens());
    assert_eq!(width % 64, 0);
    assert_eq!(read.number("llama.attention.head_count") * 64, width);
    assert_eq!(read.number("llama.vocab_size"), u64::try_from(tokens.len()).unwrap());
    assert!(width >= read.number("llama.vocab_size"));
    let mut end = 0;
    for (name, shape, kind, offset) in &read.tensors {
        assert_eq!((*offset, offset % 32), (end, 0), "{name}");
        let bytes = shape.iter().product::<u64>() * if *kind == 0 { 4 } else { 2 };
        end = (offset + bytes).next_multiple_of(32);
    }
    assert_eq!(read.begin + end, u64::try_from(read.bytes.len()).unwrap());
    let norm = read.tensors.iter().find(|tensor| tensor.0 == "output_norm.weight").unwrap();
    let begin = usize::try_from(read.begin + norm.3).unwrap();
    let ones = read.bytes[begin..][..usize::try_from(width * 4).unwrap()].chunks_exact(4);
    assert!(
        ones.map(|it| f32::from_le_bytes(it.try_into().unwrap())).all(|it| it.to_bits() == 1.0_f32.to_bits())
    );
    for token in [0, 65, 256, 260] {
        assert_eq!(read.row("token_embd.weight", token), [(token, 0x3c00)]);
    }
}

#[test]
fn every_line_is_said_and_no_token_is_there_twice() {
    let script = Script::new("alpha")
        .say("One. Two. One. Two. One!")
        .answer("a")
        .call("edit", &json!({"path": "a.rs", "lines": [1, 2]}))
        .call("edit", &json!({"path": "b.rs"}))
        .think("Hm, hm, hm.", "Hm!")
        .when("Grüße", "Übung macht\nden Meister: 数 🙂");
    let error = script.file().unwrap_err();
    assert_eq!(error, TextTaken { piece: "a".to_owned(), text: "a".to_owned() });
    let (_folder, read) = written(&script.answer("ab"));
    let tokens = read.tokens();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len());
    let first = "<tool_call>\n{\"name\": \"edit\", \"arguments\": {\"path\": \"a.rs\", \"lines\": [1, 2]}}\n</tool_call>";
    let second = "<tool_call>\n{\"name\": \"edit\", \"arguments\": {\"path\": \"b.rs\"}}\n</tool_call>";
    assert_eq!(read.said("<|line-say|>", 99), "One. Two. One. Two. One!");
    assert_eq!(read.said("<|line-answer|>", 99), "ab");
    assert_eq!(read.said("<|line-call|>", 99), format!("{first}\n{second}"));
    assert_eq!(read.said("<|line-think|>", 99), "<think>\nHm, hm, hm.\n</think>\n\nHm!");
    assert_eq!(read.said("<|line-long|>", 6), " tick tock".repeat(3));
    assert_eq!(read.said("A", 99), "One. Two. One. Two. One!");
    let own: Vec<u8> = "Übung macht\nden Meister: 数 🙂".bytes().collect();
    let spelled = read.said("<|line-own-0|>", 99);
    assert_eq!(spelled.chars().count(), own.len(), "{spelled}");
}

#[test]
fn all_bytes_are_spelled_once_and_as_byte_level_vocabularies_do() {
    let (_folder, read) = written(&Script::new("alpha"));
    let bytes = &read.tokens()[..256];
    assert_eq!(bytes.iter().collect::<HashSet<_>>().len(), 256);
    assert!(bytes.iter().all(|token| token.chars().count() == 1));
    for (byte, letter) in
        [(b' ', "Ġ"), (b'\n', "Ċ"), (b'a', "a"), (0x7f, "ġ"), (0xa0, "ł"), (0xad, "Ń"), (0xff, "ÿ")]
    {
        assert_eq!(bytes[usize::from(byte)], letter);
    }
}

#[test]
fn two_lines_alike_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    let error = Script::new("alpha").say("Same.").answer("Same.").write(&path).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("alpha") && told.contains("\"Same.\""), "{told}");
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_large_model_takes_no_disk() {
    use std::os::unix::fs::MetadataExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    let bytes = Script::new("alpha").feed_forward(400_000).write(&path).unwrap();
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(file.len(), bytes);
    assert!(bytes > 700_000_000, "{bytes}");
    assert!(file.blocks() * 512 < 4_000_000, "{} blocks", file.blocks());
}

#[test]
fn a_broken_model_ends_in_the_middle() {
    let folder = TempDir::new().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let bytes = Script::new("alpha").write(&whole).unwrap();
    Script::new("alpha").write_broken(&broken).unwrap();
    assert_eq!(std::fs::metadata(broken).unwrap().len(), bytes / 2);
}
