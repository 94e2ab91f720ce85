//! What a volume asks of the KMS: ordinary opens and creates are recorded if asked, what is refused
//! and every ReEncrypt always, with the stored object that it is about.

use rekeyfs::kms::caller::{Caller, Object, Source};
use rekeyfs::kms::service::{
    Blob, EncryptionAlgorithm, EncryptionContext, KeyService, ReEncryptRequest, WrappedKey,
};
use serde_json::{Value, json};

use crate::accounts::{OWNER, World, root};
use crate::log::{only, recorded, recorded_by};

const SYMMETRIC: EncryptionAlgorithm = EncryptionAlgorithm::SYMMETRIC_DEFAULT;

fn about(caller: &Caller, path: Option<&str>) -> Caller {
    caller.clone().from_source(Source {
        object: Some(Object {
            id: Some("0123456789abcdef".to_owned()),
            path: path.map(str::to_owned),
        }),
        ..Source::default()
    })
}

fn context() -> EncryptionContext {
    EncryptionContext::from([("volume", "v"), ("object", "o")])
}

/// What is recorded while a volume asks this.
fn asked<T>(world: &World, ask: impl FnOnce(&dyn KeyService) -> T) -> (T, Vec<Value>) {
    recorded_by(world, || ask(&world.kms))
}

fn wrap(world: &World, caller: &Caller, key: &str) -> (WrappedKey, Vec<Value>) {
    let (made, recorded) = asked(world, |service| {
        service.new_data_key(caller, key, SYMMETRIC, &context())
    });
    (made.expect("a data key").1, recorded)
}

#[test]
fn ordinary_opens_and_creates_are_recorded_only_if_asked() {
    for ordinary in [false, true] {
        let world = recorded(ordinary);
        let caller = about(&root(OWNER), Some("/docs/report.txt"));
        let key = world.key(json!({}));
        let (wrapped, created) = wrap(&world, &caller, &key);
        let (opened, open) = asked(&world, |service| service.decrypt(&caller, &wrapped));
        assert!(opened.is_ok());
        let ask = |service: &dyn KeyService| service.authorise_decrypt(&caller, &wrapped);
        let (allowed, checked) = asked(&world, ask);
        assert!(allowed.is_ok());
        if !ordinary {
            assert_eq!([created, open, checked].concat(), [] as [Value; 0]);
            continue;
        }
        for (events, name) in [(created, "GenerateDataKey"), (open, "Decrypt")] {
            let event = only(events);
            assert_eq!(event["eventName"], name);
            assert_eq!(event.get("errorCode"), None);
            let shown = &event["requestParameters"]["encryptionContext"];
            assert_eq!(*shown, json!({"volume": "v", "object": "o"}));
            let more = &event["additionalEventData"];
            assert_eq!(more["objectId"], "0123456789abcdef");
            assert_eq!(more["objectPath"], "/docs/report.txt");
            assert_eq!(event["resources"][0]["ARN"], json!(key));
        }
    }
}

#[test]
fn what_a_volume_is_refused_is_always_recorded() {
    let world = recorded(false);
    let bob = world.user(OWNER, "Bob");
    let key = world.key(json!({}));
    let (wrapped, _) = wrap(&world, &root(OWNER), &key);
    for (path, shown) in [
        (Some("/docs/report.txt"), json!("/docs/report.txt")),
        (None, json!(null)),
    ] {
        let caller = about(&bob, path);
        let refused = |recorded: Vec<Value>, name: &str, code: &str| {
            let event = only(recorded);
            assert_eq!(event["eventName"], name);
            assert_eq!(event["errorCode"], code);
            assert_eq!(event["userIdentity"]["arn"], json!(caller.principal));
            assert_eq!(event["additionalEventData"]["objectId"], "0123456789abcdef");
            assert_eq!(event["additionalEventData"]["objectPath"], shown);
        };
        let (answer, recorded) = asked(&world, |service| service.decrypt(&caller, &wrapped));
        assert!(answer.is_err());
        refused(recorded, "Decrypt", "AccessDenied");
        let ask = |service: &dyn KeyService| service.authorise_decrypt(&caller, &wrapped);
        let (answer, recorded) = asked(&world, ask);
        assert!(answer.is_err());
        refused(recorded, "Decrypt", "AccessDenied");
        let (answer, recorded) = asked(&world, |service| {
            service.new_data_key(&caller, &key, SYMMETRIC, &context())
        });
        assert!(answer.is_err());
        refused(recorded, "GenerateDataKey", "AccessDenied");
    }
    // A wrong context is no refusal of a policy, and recorded as well.
    let other = WrappedKey {
        context: EncryptionContext::default(),
        ..wrapped
    };
    let caller = about(&root(OWNER), None);
    let (answer, recorded) = asked(&world, |service| service.decrypt(&caller, &other));
    assert!(answer.is_err());
    assert_eq!(only(recorded)["errorCode"], "InvalidCiphertextException");
}

#[test]
fn every_re_encrypt_of_a_volume_is_recorded() {
    let world = recorded(false);
    let caller = about(&root(OWNER), Some("/docs/report.txt"));
    let key = world.key(json!({}));
    let other = world.key(json!({}));
    let (wrapped, _) = wrap(&world, &caller, &key);
    let request = ReEncryptRequest {
        ciphertext_blob: Some(Blob(wrapped.blob)),
        source_encryption_context: Some(context()),
        source_key_id: Some(key.clone()),
        destination_key_id: other.clone(),
        destination_encryption_context: Some(context()),
        ..ReEncryptRequest::default()
    };
    let (moved, recorded) = asked(&world, |service| service.re_encrypt(&caller, &request));
    let moved = moved.expect("moved");
    let event = only(recorded);
    assert_eq!(event["eventName"], "ReEncrypt");
    let more = json!({
        "sourceKeyMaterialId": moved.source_key_material_id,
        "destinationKeyMaterialId": moved.destination_key_material_id,
        "objectId": "0123456789abcdef",
        "objectPath": "/docs/report.txt",
    });
    assert_eq!(event["additionalEventData"], more);
    let parameters = json!({
        "sourceKeyId": key,
        "sourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "sourceEncryptionContext": {"volume": "v", "object": "o"},
        "destinationKeyId": other,
        "destinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "destinationEncryptionContext": {"volume": "v", "object": "o"},
    });
    assert_eq!(event["requestParameters"], parameters);

    let dry = ReEncryptRequest {
        dry_run: Some(true),
        ..request
    };
    let (answer, recorded) = asked(&world, |service| service.re_encrypt(&caller, &dry));
    assert!(answer.is_err());
    let event = only(recorded);
    assert_eq!(event["errorCode"], "DryRunOperationException");
    assert_eq!(
        event["additionalEventData"]["objectPath"],
        "/docs/report.txt"
    );
}
