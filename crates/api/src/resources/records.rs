//! `/v1/call-records`: finished calls, newest first, from the store.

#![allow(unused_qualifications, reason = "the generator of the document repeats a name")]

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use b2bua::api::rfc3339;
use base::WallTime;
use call::record::CallRecord;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{Problems, id, json};
use crate::access::Principal;
use crate::problem::{Code, Problem};
use crate::shapes::CallRecordShape;
use crate::shared::{Inner, Shared};
use crate::shells::RecordQuery;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many at most, 1 to 200.
    limit: Option<usize>,
    /// The id of the last record of the page before.
    before: Option<String>,
}

impl Page {
    pub(super) fn query(&self, principal: &Principal) -> Result<RecordQuery, Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::new(Code::Validation, "`limit` lies between 1 and 200"));
        }
        let before = self.before.as_deref().map(id).transpose()?.map(str::to_owned);
        let extension = match (principal.is_agent(), &principal.extension) {
            (false, _) => None,
            (true, Some(own)) => Some(own.to_string()),
            (true, None) => return Err(Code::Forbidden.into()),
        };
        Ok(RecordQuery { limit, before, extension, recorded: false })
    }
}

/// Finished calls, newest first; an agent sees its own.
#[utoipa::path(
    get, path = "/v1/call-records", tag = "records", params(Page),
    responses((status = 200, body = Vec<CallRecordShape>), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    principal: Principal,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let query = page.query(&principal)?;
    let found = read(&shared, query).await?;
    let shown: Vec<_> = found.iter().map(|record| show(&shared, record)).collect();
    Ok(json(StatusCode::OK, &shown))
}

/// One finished call, by the id of its interaction.
#[utoipa::path(
    get, path = "/v1/call-records/{id}", tag = "records", params(("id" = String, Path)),
    responses((status = 200, body = CallRecordShape), Problems),
    security(("bearer" = []))
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    principal: Principal,
    Path(call): Path<String>,
) -> Result<Response, Problem> {
    let record = find(&shared, &principal, &call).await?;
    Ok(json(StatusCode::OK, &show(&shared, &record)))
}

/// Reads a page on a thread that may wait for the disk.
pub(super) async fn read(shared: &Shared, query: RecordQuery) -> Result<Vec<CallRecord>, Problem> {
    let with = Shared::clone(shared);
    let read = tokio::task::spawn_blocking(move || (with.shells.records)(&query));
    done(read.await)
}

/// The record of a call that `principal` may see.
pub(super) async fn find(
    shared: &Shared,
    principal: &Principal,
    call: &str,
) -> Result<CallRecord, Problem> {
    let call = id(call)?.to_owned();
    let with = Shared::clone(shared);
    let found = done(tokio::task::spawn_blocking(move || (with.shells.record)(&call)).await)?;
    let parties =
        |record: &CallRecord| record.legs.iter().map(|leg| leg.party.clone()).collect::<Vec<_>>();
    let seen = found.filter(|record| principal.may_see(&parties(record)));
    seen.ok_or(Code::NotFound.into())
}

fn done<T>(read: Result<std::io::Result<T>, tokio::task::JoinError>) -> Result<T, Problem> {
    match read {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "call records cannot be read");
            Err(Problem::new(Code::Internal, "call records cannot be read"))
        }
        Err(_) => Err(Code::Internal.into()),
    }
}

/// As the API writes it: times of RFC 3339, numbers masked where the policy says so.
fn show(shared: &Inner, record: &CallRecord) -> Value {
    let mut shown = serde_json::to_value(record).unwrap_or_default();
    times(&mut shown);
    if shared.mask_numbers {
        let own = record.legs.iter().map(|leg| leg.party.as_str()).collect::<Vec<_>>();
        for key in ["from", "to"] {
            if let Some(Value::String(number)) = shown.get_mut(key)
                && !own.contains(&number.as_str())
            {
                *number = masked(number);
            }
        }
    }
    shown
}

/// Wherever a time stands, in the record or in its segments.
fn times(value: &mut Value) {
    const TIMES: &[&str] = &["started", "ringing", "answered", "ended", "joined", "left"];
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field.as_u64().filter(|_| TIMES.contains(&key.as_str())) {
                    Some(ms) => *field = rfc3339(WallTime(ms)).into(),
                    None => times(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The last four digits only (V7).
fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_alphanumeric).collect();
    let shown = if digits.len() > 4 { &digits[digits.len() - 4..] } else { &[] };
    format!("***{}", shown.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v7_only_the_last_four_digits_are_shown() {
        assert_eq!(masked("+1 (555) 123-4567"), "***4567");
        assert_eq!(masked("1001"), "***");
    }

    #[test]
    fn times_become_text_wherever_they_stand() {
        let mut value = serde_json::json!({
            "started": 0, "talkMs": 5, "segments": [{ "started": 1000 }], "answered": null,
        });
        times(&mut value);
        let expected = serde_json::json!({
            "started": "1970-01-01T00:00:00.000Z", "talkMs": 5,
            "segments": [{ "started": "1970-01-01T00:00:01.000Z" }], "answered": null,
        });
        assert_eq!(value, expected);
    }
}
