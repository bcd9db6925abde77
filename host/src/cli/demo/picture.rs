//! The demonstration's picture: a few German words on a white sign, drawn here, dot by dot, so that the program needs no
//! file and no font, and encoded as a PNG that any client could have sent.

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// What stands on the sign.
pub(in crate::cli) const WORDS: [&str; 2] = ["PARKEN", "VERBOTEN"];

/// The same, for those who cannot see it: the emulator reads this where a model would look.
const DESCRIPTION: &str = "Parken verboten.";

/// Dots of a letter.
const LETTER_WIDTH: usize = 5;
const LETTER_HEIGHT: usize = 7;

/// Pixels of a dot, and dots between and around letters.
const DOT: usize = 6;
const GAP: usize = 1;
const MARGIN: usize = 3;

/// Shades of grey.
const WHITE: u8 = 255;
const BLACK: u8 = 0;

/// Bytes of the hash that tell one picture from another; the emulator names them in its answers.
const DIGEST_BYTES: usize = 4;

/// The letters that the words need, row by row; the lowest five bits are the dots, the highest of them leftmost.
const LETTERS: &[(char, [u8; LETTER_HEIGHT])] = &[
    ('A', [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('B', [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('K', [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001]),
    ('N', [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('P', [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('T', [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('V', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100]),
];

/// A picture as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Picture {
    /// The file.
    pub(in crate::cli) png: Vec<u8>,
    /// The first digits of its SHA-256.
    pub(in crate::cli) digest: String,
}

/// Draws the sign.
pub(in crate::cli) fn draw() -> anyhow::Result<Picture> {
    let columns = WORDS.iter().map(|word| word.chars().count()).max().unwrap_or_default();
    let width = (columns * (LETTER_WIDTH + GAP) - GAP + 2 * MARGIN) * DOT;
    let height = (WORDS.len() * (LETTER_HEIGHT + MARGIN) + MARGIN) * DOT;
    let pixels: Vec<u8> =
        (0..height).flat_map(|y| (0..width).map(move |x| shade(x / DOT, y / DOT))).collect();
    let png = encode(&pixels, width, height)?;
    let digest = Sha256::digest(&png).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Ok(Picture { png, digest })
}

/// The shade of one dot of the sign.
fn shade(x: usize, y: usize) -> u8 {
    if is_ink(x, y).unwrap_or_default() { BLACK } else { WHITE }
}

/// Whether a letter covers the dot; none outside every letter.
fn is_ink(x: usize, y: usize) -> Option<bool> {
    let (x, y) = (x.checked_sub(MARGIN)?, y.checked_sub(MARGIN)?);
    let word = WORDS.get(y / (LETTER_HEIGHT + MARGIN))?;
    let letter = word.chars().nth(x / (LETTER_WIDTH + GAP))?;
    let (_, rows) = LETTERS.iter().find(|(own, _)| *own == letter)?;
    let row = rows.get(y % (LETTER_HEIGHT + MARGIN))?;
    let column = x % (LETTER_WIDTH + GAP);
    (column < LETTER_WIDTH).then(|| row >> (LETTER_WIDTH - 1 - column) & 1 == 1)
}

fn encode(pixels: &[u8], width: usize, height: usize) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    let (width, height) = (u32::try_from(width)?, u32::try_from(height)?);
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .add_text_chunk("Description".to_owned(), DESCRIPTION.to_owned())
        .context("the picture's description")?;
    let mut writer = encoder.write_header().context("the picture's head")?;
    writer.write_image_data(pixels).context("the picture")?;
    writer.finish().context("the picture's end")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_can_be_drawn() {
        for letter in WORDS.iter().flat_map(|word| word.chars()) {
            assert!(LETTERS.iter().any(|(own, _)| *own == letter), "{letter}");
        }
    }

    #[test]
    fn the_picture_is_a_png_that_shows_the_words() {
        let picture = draw().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&picture.png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = (frame.width as usize, frame.height as usize);
        assert_eq!(pixels.len(), width * height);
        let dot = |x: usize, y: usize| if pixels[y * DOT * width + x * DOT] == BLACK { '#' } else { '.' };
        let row = |y: usize| (0..17).map(|x| dot(MARGIN + x, MARGIN + y)).collect::<String>();
        // The upper edge of P, A, R.
        assert_eq!(row(0), "####...###..####.");
        assert!((0..width / DOT).all(|x| dot(x, 0) == '.'));
        assert_eq!(picture.digest.len(), 8);
        assert_eq!(draw().unwrap(), picture);
    }
}
