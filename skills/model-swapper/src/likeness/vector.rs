//! Vectors of length one, and how alike two are. Pure; knows neither texts nor models.

/// A vector of length one: its direction is all that likeness asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit(Vec<f32>);

impl Unit {
    /// The direction of a vector, made in the same memory. None where it has none: nothing but zeros, or something that is
    /// not a number.
    pub(super) fn of(mut numbers: Vec<f32>) -> Option<Self> {
        let square: f64 = numbers.iter().map(|number| f64::from(*number).powi(2)).sum();
        let length = square.sqrt();
        if !length.is_finite() || length == 0.0 {
            return None;
        }
        for number in &mut numbers {
            *number = (f64::from(*number) / length) as f32;
        }
        Some(Self(numbers))
    }

    /// How many numbers it has.
    pub(super) fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle between two vectors of the same space.
    pub(super) fn cosine(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_is_of_directions_not_of_lengths() {
        let cosine =
            |a: &[f32], b: &[f32]| Unit::of(a.to_vec()).unwrap().cosine(&Unit::of(b.to_vec()).unwrap());
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(cosine(&[3.0, 4.0], &[0.3, 0.4]), 1.0));
        assert!(near(cosine(&[1.0, 0.0], &[1.0, 1.0]), 0.5_f64.sqrt()));
        assert!(near(cosine(&[1.0, 0.0], &[-2.0, 0.0]), -1.0));
        assert!(near(cosine(&[f32::MAX, f32::MAX], &[1e-30, 1e-30]), 1.0));
    }

    #[test]
    fn what_has_no_direction_is_no_vector() {
        for numbers in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY, 1.0]] {
            assert_eq!(Unit::of(numbers.to_vec()), None, "{numbers:?}");
        }
    }
}
