//! The Fractal Generator protocol of rsplib: SCTP payload protocol identifier 32. Numbers are big-endian, lengths those
//! of the whole message, real numbers IEEE 754 of 64 bits.
//!
//! ```text
//! Parameter  type 1 (8) | flags 0 (8) | length 60 (16) | width (32) | height (32) | iterations (32) | algorithm (32)
//!            | first corner: real (64), imaginary (64) | opposite corner: real (64), imaginary (64) | exponent (64)
//! Data       type 2 (8) | flags 0 (8) | length (16) | x (32) | y (32) | number of points (32) | a value for each (32)
//! Cookie     "<FG-TD1>" | Parameter | x (32) | y (32)
//! ```
//!
//! Points come line by line. Data without points, at 0xffffffff both, is the end of the image.

#![allow(dead_code, reason = "the server needs what the client does not, and the other way round")]

/// SCTP payload protocol identifier.
pub(crate) const PPID: u32 = 32;
/// The pool, unless told otherwise.
pub(crate) const POOL: &str = "FractalGeneratorPool";
/// Points in one message at most.
pub(crate) const POINTS: usize = 324;

/// Width and height, and iterations, at most.
const PIXELS: u32 = 65_536;
const ITERATIONS: u32 = 1_000_000;

const PARAMETER: u8 = 1;
const DATA: u8 = 2;
const TAG: &[u8; 8] = b"<FG-TD1>";

/// Which image is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) iterations: u32,
    /// 1: z² - c. 2: zⁿ - c.
    pub(crate) algorithm: u32,
    /// The corner of the first point, then the opposite one: real and imaginary parts.
    pub(crate) corners: [f64; 4],
    pub(crate) exponent: f64,
}

/// Values of points that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) values: Vec<u32>,
}

impl Parameter {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words = [self.width, self.height, self.iterations, self.algorithm].map(u32::to_be_bytes);
        let [a, b, c, d] = self.corners;
        let reals = [a, b, c, d, self.exponent].map(f64::to_be_bytes);
        [&[PARAMETER, 0, 0, 60], words.as_flattened(), reals.as_flattened()].concat()
    }

    /// `None` if it is no Parameter, or asks for too much.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        match message {
            [PARAMETER, _flags, 0, 60, body @ ..] => Self::from_body(body),
            _ => None,
        }
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let (words, reals) = body.split_first_chunk::<16>()?;
        let (words, []) = words.as_chunks::<4>() else { return None };
        let (&[a, b, c, d, exponent], []) = reals.as_chunks::<8>() else { return None };
        let &[width, height, iterations, algorithm] = words else { return None };
        let [width, height, iterations, algorithm] =
            [width, height, iterations, algorithm].map(u32::from_be_bytes);
        let corners = [a, b, c, d].map(f64::from_be_bytes);
        let modest = width <= PIXELS && height <= PIXELS && iterations <= ITERATIONS;
        let exponent = f64::from_be_bytes(exponent);
        (modest && width > 0).then_some(Self { width, height, iterations, algorithm, corners, exponent })
    }

    /// The cookie with which another server goes on at this point.
    pub(crate) fn cookie(&self, (x, y): (u32, u32)) -> Vec<u8> {
        [TAG.as_slice(), &self.encode(), &x.to_be_bytes(), &y.to_be_bytes()].concat()
    }

    /// What a cookie holds. rsplib's servers write another length into its Parameter: what counts is the cookie's own.
    pub(crate) fn from_cookie(cookie: &[u8]) -> Option<(Self, (u32, u32))> {
        let [PARAMETER, _flags, _, _, rest @ ..] = cookie.strip_prefix(TAG)? else { return None };
        let (body, point) = rest.split_at_checked(56)?;
        let (x, y) = point.split_first_chunk()?;
        let point = (u32::from_be_bytes(*x), u32::from_be_bytes(y.try_into().ok()?));
        Some((Self::from_body(body)?, point))
    }

    /// The values of the points from here on that fit into a message, and what comes after them: no values at the end
    /// of the image.
    pub(crate) fn calculate(&self, (x, y): (u32, u32)) -> (Data, (u32, u32)) {
        let first = u64::from(y) * u64::from(self.width) + u64::from(x);
        let points = u64::from(self.width) * u64::from(self.height);
        let after = points.min(first + POINTS as u64);
        let point =
            |index: u64| ((index % u64::from(self.width)) as u32, (index / u64::from(self.width)) as u32);
        let values: Vec<u32> = (first..after).map(|index| self.value(point(index))).collect();
        let (x, y) = if values.is_empty() { (u32::MAX, u32::MAX) } else { (x, y) };
        (Data { x, y, values }, point(after))
    }

    /// After how many iterations a point is outside.
    fn value(&self, (x, y): (u32, u32)) -> u32 {
        let [left, top, right, bottom] = self.corners;
        let c_real = left + f64::from(x) * ((right - left) / f64::from(self.width));
        let c_imag = top + f64::from(y) * ((bottom - top) / f64::from(self.height));
        let (mut real, mut imag) = (0.0_f64, 0.0_f64);
        for iteration in 0..self.iterations {
            (real, imag) = match self.algorithm {
                1 => (real * real - imag * imag, real * imag + imag * real),
                _ => {
                    let radius = real.hypot(imag).powf(self.exponent);
                    let angle = imag.atan2(real) * self.exponent;
                    (radius * angle.cos(), radius * angle.sin())
                }
            };
            (real, imag) = (real - c_real, imag - c_imag);
            if real * real + imag * imag >= 2.0 {
                return iteration;
            }
        }
        self.iterations
    }
}

impl Data {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = 16 + 4 * self.values.len();
        let [high, low] = (length as u16).to_be_bytes();
        let words = [self.x, self.y, self.values.len() as u32].into_iter().chain(self.values.iter().copied());
        [DATA, 0, high, low].into_iter().chain(words.flat_map(u32::to_be_bytes)).collect()
    }

    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let [DATA, _flags, high, low, body @ ..] = message else { return None };
        let (words, []) = body.as_chunks::<4>() else { return None };
        let mut words = words.iter().map(|word| u32::from_be_bytes(*word));
        let (x, y, points) = (words.next()?, words.next()?, words.next()?);
        let values: Vec<u32> = words.collect();
        let whole = usize::from(u16::from_be_bytes([*high, *low])) == message.len();
        (whole && values.len() == points as usize).then_some(Self { x, y, values })
    }

    /// Whether the image is complete.
    pub(crate) fn is_end(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Parameter = Parameter {
        width: 400,
        height: 250,
        iterations: 100,
        algorithm: 1,
        corners: [-1.5, 1.5, 1.5, -1.5],
        exponent: 2.0,
    };

    #[test]
    fn messages_have_the_layout_of_rsplib() {
        let message = IMAGE.encode();
        assert_eq!(message[..20], *b"\x01\0\0\x3c\0\0\x01\x90\0\0\0\xfa\0\0\0\x64\0\0\0\x01");
        assert_eq!(message[20..28], (-1.5f64).to_be_bytes());
        assert_eq!((message.len(), Parameter::decode(&message)), (60, Some(IMAGE)));

        let data = Data { x: 1, y: 2, values: vec![7, 8] };
        let message = b"\x02\0\0\x18\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x07\0\0\0\x08";
        assert_eq!(data.encode(), message);
        assert_eq!(Data::decode(message), Some(data));
    }

    #[test]
    fn a_cookie_may_say_another_length() {
        let mut cookie = IMAGE.cookie((3, 4));
        assert_eq!(Parameter::from_cookie(&cookie), Some((IMAGE, (3, 4))));
        (cookie[10], cookie[11]) = (0, 4);
        assert_eq!(Parameter::from_cookie(&cookie), Some((IMAGE, (3, 4))));
        assert_eq!(cookie.len(), 76);
        assert_eq!(Parameter::from_cookie(&cookie[..75]), None);
    }

    #[test]
    fn nothing_else_is_a_message() {
        let message = IMAGE.encode();
        for length in 0..message.len() {
            assert_eq!(Parameter::decode(&message[..length]), None, "cut after {length} bytes");
        }
        assert_eq!(Parameter::decode(&Parameter { width: 0, ..IMAGE }.encode()), None, "no width");
        assert_eq!(Parameter::decode(&Parameter { height: 65_537, ..IMAGE }.encode()), None, "too high");
        assert_eq!(
            Data::decode(b"\x02\0\0\x14\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\x07"),
            None,
            "a point is missing"
        );
    }

    #[test]
    fn an_image_is_complete_whoever_goes_on_with_it() {
        let (mut at, mut image) = ((0, 0), Vec::new());
        loop {
            let (parameter, from) = Parameter::from_cookie(&IMAGE.cookie(at)).unwrap();
            let (data, next) = parameter.calculate(from);
            if data.is_end() {
                break;
            }
            assert_eq!(image.len(), (data.y * IMAGE.width + data.x) as usize);
            image.extend(data.values);
            at = next;
        }
        assert_eq!(image.len(), 400 * 250);
        let middle = image[125 * 400 + 200];
        assert_eq!(middle, IMAGE.iterations, "zero stays where it is");
    }
}
