//! Vectors of an imitated embedding model: the same for the same model and text, close for texts of the same words.
//!
//! A text is the sum of its words and of their three-letter pieces, each a direction of its own that the model's key
//! picks, and a little of the text as a whole, so that no two texts are the same. It knows nothing of meaning.

use crate::chat::scrambled;
use crate::config::Model;

/// How much a word counts, one of its pieces, and the text as a whole.
const WORD: f32 = 1.0;
const PIECE: f32 = 0.35;
const WHOLE: f32 = 0.1;

/// Characters of a piece.
const PIECE_CHARACTERS: usize = 3;

/// Words of a text that count.
const WORDS_MAX: usize = 2048;

/// The vector of a text: as many numbers as the model has dimensions, of unit length.
pub(super) fn of(model: &Model, text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; model.dimensions.max(1) as usize];
    add(&mut vector, seed(model, "text", text), WHOLE);
    let lower = text.to_lowercase();
    let words = lower.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.take(WORDS_MAX) {
        add(&mut vector, seed(model, "word", word), WORD);
        let characters: Vec<char> = word.chars().collect();
        for piece in characters.windows(PIECE_CHARACTERS) {
            add(&mut vector, seed(model, "piece", &piece.iter().collect::<String>()), PIECE);
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|number| *number /= length.max(f32::MIN_POSITIVE));
    vector
}

/// Adds the direction that a number stands for.
fn add(vector: &mut [f32], seed: u64, weight: f32) {
    let mut state = seed;
    for number in vector {
        state = scrambled(state);
        // 24 bits are what the type holds without loss.
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
        let unit = (state >> 40) as f32 / 8_388_608.0 - 1.0;
        *number += weight * unit;
    }
}

/// FNV-1a over the model's key, what the feature is, and the feature: a number for each, the same on every machine.
fn seed(model: &Model, kind: &str, feature: &str) -> u64 {
    let bytes = [&model.key, "\0", kind, "\0", feature].map(str::bytes).into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
