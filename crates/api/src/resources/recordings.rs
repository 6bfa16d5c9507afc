//! `/v1/recordings`: list, metadata, download. What is not in a call record does not exist here: a
//! file is found by the id of its call, and is one that its record names.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path as FilePath, PathBuf};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use b2bua::api::rfc3339;
use bytes::Bytes;
use call::record::CallRecord;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::ToSchema;

use super::records::{Page, find, read};
use super::{Problems, json};
use crate::access::{Principal, Role};
use crate::guard::only;
use crate::problem::{Code, Problem, ProblemBody};
use crate::shared::{Inner, Shared};

/// Who may hear recordings.
const HEARERS: &[Role] = &[Role::Supervisor, Role::Admin, Role::Integrator];
/// Files that are being sent at once.
pub(crate) const DOWNLOADS_MAX: usize = 32;
/// Bytes read in one go, and how many of those wait for the client.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 4;

/// One recording.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recording {
    /// Its id: that of its call for the first one, for another the name of its file without extension.
    id: String,
    /// The interaction that was recorded.
    interaction_id: String,
    /// When the call began.
    started: String,
    /// How long was talked, milliseconds.
    talk_ms: u64,
    /// Media type of the file.
    media_type: &'static str,
    /// Its size; absent when the file is not there (any longer).
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Where it can be downloaded.
    href: String,
}

/// Recordings, newest first; `limit` counts calls, and all recordings of a call are on one page.
#[utoipa::path(
    get, path = "/v1/recordings", tag = "recordings", params(Page),
    responses((status = 200, body = Vec<Recording>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    principal: Principal,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    only(&principal, HEARERS)?;
    let mut query = page.query(&principal)?;
    query.recorded = true;
    let found = read(&shared, query).await?;
    // The first one of a call comes last: its id is the call's, which the next page comes after.
    let all = found.iter().flat_map(|record| files(record).rev().map(move |file| (record, file)));
    let shown: Vec<_> = all.filter_map(|(record, file)| show(&shared, record, file)).collect();
    Ok(json(StatusCode::OK, &shown))
}

/// One recording.
#[utoipa::path(
    get, path = "/v1/recordings/{id}", tag = "recordings", params(("id" = String, Path)),
    responses((status = 200, body = Recording), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    principal: Principal,
    Path(recording): Path<String>,
) -> Result<Response, Problem> {
    only(&principal, HEARERS)?;
    let (record, file) = find_file(&shared, &principal, &recording).await?;
    let shown = show(&shared, &record, &file).ok_or(Code::NotFound)?;
    Ok(json(StatusCode::OK, &shown))
}

/// The file; one byte range can be asked for.
#[utoipa::path(
    get, path = "/v1/recordings/{id}/audio", tag = "recordings", params(("id" = String, Path)),
    responses(
        (status = 200, description = "The whole file.", content_type = "audio/wav"),
        (status = 206, description = "The part that was asked for.", content_type = "audio/wav"),
        (status = 416, body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn audio(
    State(shared): State<Shared>,
    principal: Principal,
    Path(recording): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    only(&principal, HEARERS)?;
    let (_, file) = find_file(&shared, &principal, &recording).await?;
    let path = path(&shared, &file).ok_or(Code::NotFound)?;
    let downloads = &shared.downloads;
    let busy = || Problem::new(Code::Overloaded, "too many downloads are going on");
    let permit = downloads.clone().try_acquire_owned().map_err(|_| busy())?;
    let kind = media_type(&path);
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    let Ok(Ok((file, len))) = opened else { return Err(Code::NotFound.into()) };
    let asked = headers.get(header::RANGE).map(|range| range.to_str().unwrap_or_default());
    let part = match asked.and_then(|asked| part(asked, len)) {
        Some(Err(())) => {
            let mut response = Problem::from(Code::RangeNotSatisfiable).into_response();
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{len}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            return Ok(response);
        }
        Some(Ok(part)) => Some(part),
        None => None,
    };
    let range = part.clone().unwrap_or(0..len);
    let mut response = Response::new(stream(file, range.clone(), permit));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Never shown as a page, whatever is in it.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if part.is_some() {
        let range = format!("bytes {}-{}/{len}", range.start, range.end - 1);
        if let Ok(range) = HeaderValue::from_str(&range) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The record of a recording's call, and the recording's file.
async fn find_file(
    shared: &Shared,
    principal: &Principal,
    recording: &str,
) -> Result<(CallRecord, String), Problem> {
    let record = match find(shared, principal, recording).await {
        Err(problem) if problem.code == Code::NotFound => {
            let (call, _) = recording.rsplit_once('-').ok_or(problem)?;
            find(shared, principal, call).await?
        }
        found => found?,
    };
    let mut files = files(&record);
    let found = files.find(|file| id_of(&record, file) == recording || stem(file) == recording);
    let file = found.ok_or(Code::NotFound)?.to_owned();
    drop(files);
    Ok((record, file))
}

/// The files of a call's recordings, the oldest first. Older records know but the last one.
fn files(record: &CallRecord) -> impl DoubleEndedIterator<Item = &str> {
    let last = record.recording.iter().filter(|_| record.recordings.is_empty());
    record.recordings.iter().chain(last).map(String::as_str)
}

/// The id of the recording in `file`.
fn id_of<'a>(record: &'a CallRecord, file: &'a str) -> &'a str {
    if files(record).next() == Some(file) { &record.id } else { stem(file) }
}

/// Files are named after their call, from the second one on with a number.
fn stem(file: &str) -> &str {
    let stem = FilePath::new(file).file_stem();
    stem.and_then(|stem| stem.to_str()).unwrap_or_default()
}

fn show(shared: &Inner, record: &CallRecord, file: &str) -> Option<Recording> {
    let path = path(shared, file)?;
    let id = id_of(record, file);
    Some(Recording {
        id: id.to_owned(),
        interaction_id: record.id.clone(),
        started: rfc3339(record.started),
        talk_ms: record.talk_ms,
        media_type: media_type(&path),
        size_bytes: std::fs::symlink_metadata(&path).ok().map(|file| file.len()),
        href: format!("/v1/recordings/{id}/audio"),
    })
}

/// Where the file of a record is: a plain name below the directory of recordings, whatever the
/// record says.
fn path(shared: &Inner, file: &str) -> Option<PathBuf> {
    let name = FilePath::new(file).file_name()?;
    let mut parts = FilePath::new(name).components();
    let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else { return None };
    Some(shared.shells.recordings.join(name))
}

fn media_type(path: &FilePath) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("opus" | "ogg") => "audio/ogg",
        Some(_) | None => "audio/wav",
    }
}

/// A regular file and its length; a link to elsewhere is none.
fn open(path: &FilePath) -> io::Result<(File, u64)> {
    let told = std::fs::symlink_metadata(path)?;
    if !told.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

/// RFC 9110 §14.2: one range of bytes. `None`: not understood, so the whole file is sent.
fn part(asked: &str, len: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => len.saturating_sub(number(last)?)..len,
        (false, true) => number(first)?..len,
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(len)
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

/// Reads on a thread of its own, never further ahead than the client by a few chunks.
fn stream(mut file: File, range: Range<u64>, permit: OwnedSemaphorePermit) -> Body {
    let (chunks, waiting) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut left = range.end - range.start;
        if let Err(error) = file.seek(SeekFrom::Start(range.start)) {
            let _ = chunks.blocking_send(Err(error));
            return;
        }
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = vec![0; most];
            let read = match file.read(&mut chunk) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    chunk.truncate(count);
                    left -= count as u64;
                    Ok(Bytes::from(chunk))
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // The client is gone, or its connection was closed for reading nothing.
            if chunks.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    let next = |mut waiting: mpsc::Receiver<io::Result<Bytes>>| async {
        let chunk = waiting.recv().await?;
        Some((chunk, waiting))
    };
    Body::from_stream(futures_util::stream::unfold(waiting, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood() {
        for (asked, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("bytes=2-", Some(Ok(2..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-30", Some(Ok(0..10))),
            ("bytes=5-99", Some(Ok(5..10))),
            ("bytes=0-18446744073709551615", Some(Ok(0..10))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=5-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(part(asked, 10), expected, "{asked}");
        }
    }
}
