//! `rekeyfs info`: of an object in a mounted volume, or of a stored one; no key is needed.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::rekey::open;
use super::report::{Exit, Fault};
use crate::codec::hex;
use crate::mount::control::date;
use crate::mount::ioctl::{self, Answer, AskFlags};
use crate::volume::header::Header;
use crate::volume::layout::Layout;

#[derive(Args)]
pub struct Info {
    /// A file or directory of a mounted volume, or a stored one
    path: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Info {
    pub fn run(&self) -> Result<(), Fault> {
        let value = match mounted(&self.path)? {
            Some(value) => value,
            None => stored(&self.path)?,
        };
        if self.output == Output::Json {
            println!("{value:#}");
            return Ok(());
        }
        if let Value::Object(members) = &value {
            for (name, value) in members {
                match value {
                    Value::String(text) => println!("{name}: {text}"),
                    other => println!("{name}: {other}"),
                }
            }
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl Fn(rustix::io::Errno) -> Fault {
    let path = path.display().to_string();
    move |errno| Fault::new(Exit::Failed, format!("{path}: {errno}"))
}

/// What a mount tells; `None` when the path is in none.
fn mounted(path: &Path) -> Result<Option<Value>, Fault> {
    let attribute = |name: &str| -> Result<String, Fault> {
        let mut buffer = vec![0; 65_536];
        // By path: a directory whose key is disabled cannot be opened, but can be asked.
        let len = rustix::fs::lgetxattr(path, format!("user.kms.{name}"), &mut buffer)
            .map_err(failed(path))?;
        buffer.truncate(len);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    };
    let stat = rustix::fs::lstat(path).map_err(failed(path))?;
    if attribute("data_key").is_err() {
        return Ok(None);
    }
    let context = attribute("encryption_context")?;
    let data_key = attribute("data_key")?;
    let (epoch, created) = data_key.split_once(' ').unwrap_or((&data_key, ""));
    Ok(Some(json!({
        "KeyId": attribute("key_id")?,
        "EncryptionAlgorithm": attribute("encryption_algorithm")?,
        "EncryptionContext": serde_json::from_str::<Value>(&context).unwrap_or_default(),
        "Generation": generation(path),
        "Epoch": epoch.trim_start_matches("epoch=").parse::<u32>().unwrap_or_default(),
        "Created": created.trim_start_matches("created="),
        "PlainBytes": stat.st_size,
        "StoredBytes": stat.st_blocks * 512,
    })))
}

/// The header's generation; `None` when the object cannot be opened for the ioctl.
fn generation(path: &Path) -> Option<u64> {
    let fd = open(path).ok()?;
    let flags = AskFlags {
        query: true,
        ..AskFlags::default()
    };
    let mut bytes = ioctl::ask(flags, 0, &[])?;
    crate::sys::ioctl_struct(fd.as_fd(), ioctl::REENCRYPT, &mut bytes).ok()?;
    Some(Answer::new(bytes)?.generation())
}

/// What the header of a stored object says.
fn stored(path: &Path) -> Result<Value, Fault> {
    let file = if path.is_dir() {
        path.join("rekeyfs.dir")
    } else {
        path.to_owned()
    };
    let fault = |text: String| Fault::new(Exit::Volume, format!("{}: {text}", path.display()));
    let bytes = match read_slots(&file) {
        // A directory without a header is no stored one.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_dir() => Vec::new(),
        result => result.map_err(|e| fault(e.to_string()))?,
    };
    let header = (0..4)
        .filter_map(Layout::new)
        .filter_map(|layout| bytes.get(layout.slot() as usize..))
        .chain([&bytes[..]])
        .filter_map(|slot| Header::parse(slot).ok())
        .max_by_key(|header| header.generation)
        .ok_or_else(|| fault("neither in a mounted volume nor a stored object".to_owned()))?;
    let stat = rustix::fs::stat(path).map_err(failed(path))?;
    let epoch = header.current();
    let plain = if path.is_dir() {
        Value::Null
    } else {
        json!(header.layout.plain_len(stat.st_size.unsigned_abs()))
    };
    Ok(json!({
        "KeyId": epoch.wrapped.key_arn,
        "EncryptionAlgorithm": epoch.wrapped.algorithm.name(),
        "EncryptionContext": epoch.wrapped.context,
        "KeyMaterialId": epoch.wrapped.material_id,
        "Generation": header.generation,
        "Epoch": epoch.number,
        "Created": date(header.created),
        "Wrapped": date(epoch.wrapped_at),
        "ObjectId": hex(&header.object),
        "PlainBytes": plain,
        "StoredBytes": stat.st_blocks * 512,
    }))
}

/// Both slots of the largest layout.
fn read_slots(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    use std::os::unix::fs::OpenOptionsExt;
    // A FIFO must not be waited for.
    std::fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?
        .take(65_536)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
