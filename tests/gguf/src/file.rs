//! A GGUF file (version 3): header, keys with values, tensors at aligned places.
//!
//! The layout follows the specification in ggml's `gguf.h`; all numbers are little-endian. Only the kinds of values,
//! numbers and tensors that a scripted model has can be written. A tensor names the places that are not zero; the rest
//! of the file is never written, and so is a hole where the file system knows such.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// The format's version that every reader since 2023 takes.
const VERSION: u32 = 3;

/// Bytes to which tensors are aligned where a file does not say otherwise.
const ALIGNMENT: u64 = 32;

/// A file to be written.
#[derive(Clone, Debug, Default)]
pub struct GgufFile {
    /// Keys and their values, in order.
    pub keys: Vec<(String, Value)>,
    /// Tensors, in order.
    pub tensors: Vec<Tensor>,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A 32-bit unsigned number.
    U32(u32),
    /// A 32-bit float.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of 32-bit signed numbers.
    Numbers(Vec<i32>),
}

/// A matrix or vector.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name, by which the engine finds it.
    pub name: String,
    /// Sizes, the fastest running first.
    pub shape: Vec<u64>,
    /// How its numbers are stored.
    pub kind: Kind,
    /// Its numbers.
    pub weights: Weights,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
}

/// What a tensor holds.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Zeros, all of them.
    Zeros,
    /// Ones, all of them.
    Ones,
    /// Zeros but for these: place in the tensor, counted in numbers, and what stands there.
    At(Vec<(u64, Weight)>),
}

/// Numbers that are written exactly in either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// 1.
    One,
    /// 8.
    Eight,
}

// === impl GgufFile ===

impl GgufFile {
    /// Writes the file, and returns its size in bytes, holes and all.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<u64> {
        let head = self.head();
        let begin = aligned(length(&head));
        let file = File::create(path)?;
        let total = begin + self.tensors.iter().map(Tensor::stride).sum::<u64>();
        file.set_len(total)?;
        let mut out = BufWriter::new(file);
        out.write_all(&head)?;
        let mut at = begin;
        for tensor in &self.tensors {
            tensor.write(&mut out, at)?;
            at += tensor.stride();
        }
        out.flush()?;
        Ok(total)
    }

    /// Everything before the first tensor's numbers.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend_from_slice(b"GGUF");
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&count(&self.tensors));
        head.extend_from_slice(&count(&self.keys));
        for (key, value) in &self.keys {
            put_text(&mut head, key);
            value.put(&mut head);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            tensor.put(&mut head, offset);
            offset += tensor.stride();
        }
        head
    }
}

// === impl Value ===

impl Value {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code().to_le_bytes());
        match self {
            Self::U32(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::F32(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Bool(is) => out.push(u8::from(*is)),
            Self::Text(text) => put_text(out, text),
            Self::Texts(texts) => {
                out.extend_from_slice(&Self::Text(String::new()).code().to_le_bytes());
                out.extend_from_slice(&count(texts));
                texts.iter().for_each(|text| put_text(out, text));
            }
            Self::Numbers(numbers) => {
                /// A signed number's code, which stands alone nowhere in these files.
                const I32: u32 = 5;
                out.extend_from_slice(&I32.to_le_bytes());
                out.extend_from_slice(&count(numbers));
                numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
        }
    }

    /// The format's number for this kind of value.
    fn code(&self) -> u32 {
        match self {
            Self::U32(_) => 4,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::Texts(_) | Self::Numbers(_) => 9,
        }
    }
}

// === impl Tensor ===

impl Tensor {
    /// Bytes that its numbers take.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.kind.bytes()
    }

    /// Bytes from its beginning to that of the next.
    fn stride(&self) -> u64 {
        aligned(self.bytes())
    }

    /// Its line in the head.
    fn put(&self, out: &mut Vec<u8>, offset: u64) {
        put_text(out, &self.name);
        let dimensions = u32::try_from(self.shape.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&dimensions.to_le_bytes());
        self.shape.iter().for_each(|size| out.extend_from_slice(&size.to_le_bytes()));
        out.extend_from_slice(&self.kind.code().to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
    }

    /// Its numbers, without the zeros.
    fn write(&self, out: &mut (impl Write + Seek), begin: u64) -> io::Result<()> {
        match &self.weights {
            Weights::Zeros => {}
            Weights::Ones => {
                out.seek(SeekFrom::Start(begin))?;
                for _ in 0..self.shape.iter().product() {
                    out.write_all(self.kind.encode(Weight::One))?;
                }
            }
            Weights::At(places) => {
                for (place, weight) in places {
                    out.seek(SeekFrom::Start(begin + place * self.kind.bytes()))?;
                    out.write_all(self.kind.encode(*weight))?;
                }
            }
        }
        Ok(())
    }
}

// === impl Kind ===

impl Kind {
    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// The format's number for this kind.
    fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
        }
    }

    /// The number's bytes, by IEEE 754: both are powers of two, so that nothing is rounded.
    fn encode(self, weight: Weight) -> &'static [u8] {
        match (self, weight) {
            (Self::F32, Weight::One) => &[0x00, 0x00, 0x80, 0x3f],
            (Self::F32, Weight::Eight) => &[0x00, 0x00, 0x00, 0x41],
            (Self::F16, Weight::One) => &[0x00, 0x3c],
            (Self::F16, Weight::Eight) => &[0x00, 0x48],
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&length(text.as_bytes()).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// How many there are, as the format writes it.
fn count<T>(all: &[T]) -> [u8; 8] {
    length(all).to_le_bytes()
}

fn length<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}
