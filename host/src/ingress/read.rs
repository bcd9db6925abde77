//! Reading a body: whole, within its limit and its time, decompressed.

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Config, guard};
use crate::error::{Error, Fault};

/// The body, as the client meant it.
pub async fn body(config: &Config, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Error> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.starts_with("multipart/") {
        let message = "multipart bodies are not taken: send JSON, with files as data URLs";
        return Err(Error::new(Fault::Client, 415, "unsupported_media_type", message));
    }
    let encoding =
        headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    let collected = Limited::new(body, config.body_bytes_max).collect();
    let bytes = match tokio::time::timeout(config.body_timeout, collected).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(guard::too_long(config)),
        Ok(Err(error)) => return Err(Error::bad_request(format!("the request body broke off: {error}"))),
        Err(_) => {
            let message = format!("the request body took longer than {} s", config.body_timeout.as_secs());
            return Err(Error::new(Fault::Client, 408, "body_timeout", message));
        }
    };
    decoded(config, encoding, bytes).await
}

/// Why a body cannot be decompressed.
enum Inflating {
    /// What comes out is longer than may be.
    TooLong,
    /// It is not what its encoding says.
    Garbled(std::io::Error),
}

async fn decoded(config: &Config, encoding: &str, bytes: Bytes) -> Result<Bytes, Error> {
    let limit = config.body_bytes_max;
    let inflated = match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => return Ok(bytes),
        "gzip" | "x-gzip" => inflate(limit, GzipDecoder::new(&*bytes)).await,
        "zstd" => inflate(limit, ZstdDecoder::new(&*bytes)).await,
        "br" => inflate(limit, BrotliDecoder::new(&*bytes)).await,
        "deflate" => match inflate(limit, ZlibDecoder::new(&*bytes)).await {
            // Some clients leave out the wrapping that the encoding has by its definition.
            Err(Inflating::Garbled(_)) => inflate(limit, DeflateDecoder::new(&*bytes)).await,
            inflated => inflated,
        },
        other => {
            let message =
                format!("the content encoding {other:?} is not taken: send gzip, deflate, br, zstd or none");
            return Err(Error::new(Fault::Client, 415, "unsupported_encoding", message));
        }
    };
    inflated.map_err(|error| match error {
        Inflating::TooLong => guard::too_long(config),
        Inflating::Garbled(cause) => {
            Error::bad_request(format!("the request body cannot be decompressed: {cause}"))
        }
    })
}

/// Decompresses up to the limit: a small body may hold a huge one.
async fn inflate(limit: usize, decoder: impl AsyncRead + Unpin) -> Result<Bytes, Inflating> {
    let mut inflated = Vec::new();
    let mut limited = decoder.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1));
    limited.read_to_end(&mut inflated).await.map_err(Inflating::Garbled)?;
    if inflated.len() > limit { Err(Inflating::TooLong) } else { Ok(Bytes::from(inflated)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::bufread::{DeflateEncoder, GzipEncoder, ZlibEncoder};

    async fn packed(mut encoder: impl AsyncRead + Unpin) -> Bytes {
        let mut packed = Vec::new();
        encoder.read_to_end(&mut packed).await.unwrap();
        Bytes::from(packed)
    }

    #[tokio::test]
    async fn bodies_are_unpacked_within_the_limit() {
        let config = Config { body_bytes_max: 1000, ..Config::default() };
        let (fits, bomb) = ([b'x'; 1000], [b'x'; 1001]);
        for (encoding, fits, bomb) in [
            ("gzip", packed(GzipEncoder::new(&fits[..])).await, packed(GzipEncoder::new(&bomb[..])).await),
            ("deflate", packed(ZlibEncoder::new(&fits[..])).await, packed(ZlibEncoder::new(&bomb[..])).await),
            (
                "Deflate",
                packed(DeflateEncoder::new(&fits[..])).await,
                packed(DeflateEncoder::new(&bomb[..])).await,
            ),
        ] {
            assert_eq!(decoded(&config, encoding, fits).await.unwrap().len(), 1000, "{encoding}");
            assert_eq!(decoded(&config, encoding, bomb).await.unwrap_err().status, 413, "{encoding}");
            let garbled = decoded(&config, encoding, Bytes::from_static(b"\xff\xff\xff")).await;
            assert_eq!(garbled.unwrap_err().status, 400, "{encoding}");
        }
        assert_eq!(decoded(&config, "lzw", Bytes::new()).await.unwrap_err().status, 415);
    }
}
