//! Tags: TagResource, UntagResource, ListResourceTags.

use super::Kms;
use super::authorise::Ask;
use super::call::Call;
use super::error::Exception;
use super::keys::page;
use super::shapes::{
    ListOfKeyRequest, ListResourceTagsResponse, Nothing, Tag, TagResourceRequest,
    UntagResourceRequest,
};

/// Tags that one key may have.
const MOST: usize = 50;

/// Checks new tags against each other and the tags that are there.
///
/// # Errors
/// `TagException`.
pub(super) fn check(new: &[Tag], old: &[(String, String)]) -> Result<(), Exception> {
    for (index, tag) in new.iter().enumerate() {
        if new
            .iter()
            .take(index)
            .any(|earlier| earlier.tag_key == tag.tag_key)
        {
            return Err(Exception::tag("Duplicate tag keys"));
        }
        if tag.tag_key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Exception::tag("Tags beginning with aws: are reserved"));
        }
    }
    let added = new
        .iter()
        .filter(|tag| !old.iter().any(|(key, _)| *key == tag.tag_key))
        .count();
    if old.len() + added > MOST {
        return Err(Exception::tag("Too many tags"));
    }
    Ok(())
}

impl Kms {
    /// TagResource.
    ///
    /// # Errors
    /// `TagException`, `KMSInvalidStateException` while deletion is pending.
    pub(super) fn tag_resource(
        &self,
        call: &mut Call<'_>,
        request: &TagResourceRequest,
    ) -> Result<Nothing, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .tags(&request.tags);
        self.change(call, &key.arn, &ask, |change| {
            let tags = &mut change.key.facts.tags;
            check(&request.tags, tags)?;
            for tag in &request.tags {
                match tags.iter_mut().find(|(key, _)| *key == tag.tag_key) {
                    Some((_, value)) => value.clone_from(&tag.tag_value),
                    None => tags.push((tag.tag_key.clone(), tag.tag_value.clone())),
                }
            }
            Ok(Nothing {})
        })
    }

    /// UntagResource; tags that are not there do no harm.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion is pending.
    pub(super) fn untag_resource(
        &self,
        call: &mut Call<'_>,
        request: &UntagResourceRequest,
    ) -> Result<Nothing, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .fact("aws:tagkeys", request.tag_keys.clone());
        self.change(call, &key.arn, &ask, |change| {
            change
                .key
                .facts
                .tags
                .retain(|(key, _)| !request.tag_keys.contains(key));
            Ok(Nothing {})
        })
    }

    /// ListResourceTags.
    ///
    /// # Errors
    /// `InvalidMarkerException`, `NotFoundException`.
    pub(super) fn list_resource_tags(
        &self,
        call: &mut Call<'_>,
        request: &ListOfKeyRequest,
    ) -> Result<ListResourceTagsResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        let tags = key
            .facts
            .tags
            .iter()
            .map(|(key, value)| Tag {
                tag_key: key.clone(),
                tag_value: value.clone(),
            })
            .collect();
        let (tags, next_marker) = page(tags, request.limit, request.marker.as_deref(), |tag| {
            &tag.tag_key
        })?;
        Ok(ListResourceTagsResponse {
            truncated: next_marker.is_some(),
            tags,
            next_marker,
        })
    }
}
