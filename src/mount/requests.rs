//! What the requests for attributes and the ioctl do: control attributes, sealed and plain ones.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{INodeNo, Request};
use rustix::fs::XattrFlags;

use super::control::{self, Attribute, Control};
use super::filesystem::RekeyFs;
use super::tree::Node;
use super::{errno, ioctl};
use crate::volume::{Kind, Volume, VolumeError};

impl RekeyFs {
    pub(super) fn xattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
    ) -> Result<Vec<u8>, VolumeError> {
        let node = self.node(number)?;
        if let Some(attribute) = Attribute::parse(name.as_bytes()) {
            let attribute = attribute.ok_or(VolumeError::NoAttribute)?;
            let envelope = match self.tree.envelope(&node) {
                Err(VolumeError::NoDataKey) => return Err(VolumeError::NoAttribute),
                result => result?,
            };
            let reseal = || self.resealing.describe(&envelope);
            return control::read(&envelope, &self.outcomes, request.uid(), attribute, reseal);
        }
        let object = self.tree.object(&node)?;
        if !Volume::is_sealed_xattr(name) {
            return self.volume().plain_xattr(&object, name);
        }
        if !self.volume().has_sealed_xattrs(&object)? {
            return Err(VolumeError::NoAttribute);
        }
        let caller = self.caller_about(request, &node)?;
        if node.kind == Kind::Directory {
            let directory = self.tree.directory(&node)?;
            directory.envelope().authorise(&caller)?;
            return self.volume().sealed_xattr(&object, &*directory, name);
        }
        self.with_file(&node, None, &caller, |file| {
            self.volume().sealed_xattr(&object, file, name)
        })
    }

    pub(super) fn xattr_names(
        &self,
        request: &Request,
        number: INodeNo,
    ) -> Result<Vec<u8>, VolumeError> {
        let node = self.node(number)?;
        let object = self.tree.object(&node)?;
        let mut names = self.volume().plain_xattr_names(&object)?;
        // As the kernel does it elsewhere.
        names.retain(|name| request.uid() == 0 || !name.starts_with(b"trusted."));
        if self.volume().has_sealed_xattrs(&object)? {
            let caller = self.caller_about(request, &node)?;
            names.extend(if node.kind == Kind::Directory {
                let directory = self.tree.directory(&node)?;
                directory.envelope().authorise(&caller)?;
                self.volume().sealed_xattr_names(&object, &*directory)?
            } else {
                self.with_file(&node, None, &caller, |file| {
                    self.volume().sealed_xattr_names(&object, file)
                })?
            });
        }
        Ok(names
            .into_iter()
            .flat_map(|mut name| {
                name.push(0);
                name
            })
            .collect())
    }

    pub(super) fn set_xattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), VolumeError> {
        let node = self.node(number)?;
        let caller = self.caller_about(request, &node)?;
        if let Some(attribute) = Attribute::parse(name.as_bytes()) {
            let attribute = attribute.ok_or(VolumeError::NotSupported {
                what: "this control attribute",
            })?;
            if flags.contains(XattrFlags::CREATE) {
                return Err(super::handles::posix("set", rustix::io::Errno::EXIST));
            }
            let control = Control::from_attribute(attribute, value);
            return self.control(request, &node, control);
        }
        let object = self.tree.object(&node)?;
        let volume = self.volume();
        if !Volume::is_sealed_xattr(name) {
            return volume.set_plain_xattr(&object, name, value, flags);
        }
        if node.kind == Kind::Directory {
            let directory = self.tree.directory(&node)?;
            directory.envelope().authorise(&caller)?;
            return volume.set_sealed_xattr(&object, &*directory, name, value, flags);
        }
        self.with_file(&node, None, &caller, |file| {
            volume.set_sealed_xattr(&object, file, name, value, flags)
        })
    }

    /// Applies a control request to a node and remembers what became of it for its caller.
    fn control(
        &self,
        request: &Request,
        node: &Arc<Node>,
        control: Result<Control, VolumeError>,
    ) -> Result<(), VolumeError> {
        let envelope = self.tree.envelope(node)?;
        let result = control
            .map_err(control::Failure::from)
            .and_then(|control| self.apply(request, node, &envelope, &control));
        self.outcomes
            .record(envelope.header().object, request.uid(), &result);
        result.map(|_| ()).map_err(|failure| failure.error)
    }

    fn apply(
        &self,
        request: &Request,
        node: &Arc<Node>,
        envelope: &crate::volume::Envelope,
        control: &Control,
    ) -> Result<control::Outcome, control::Failure> {
        let owner = self.tree.attributes(node)?.uid;
        let is_owner = request.uid() == 0 || request.uid() == owner;
        let caller = self.about(self.caller(request)?, node, false);
        let reseal = || self.resealing.begin(&self.tree, node, &caller);
        control::apply(envelope, &caller, is_owner, control, reseal)
    }

    pub(super) fn remove_xattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
    ) -> Result<(), VolumeError> {
        let node = self.node(number)?;
        if let Some(attribute) = Attribute::parse(name.as_bytes()) {
            if attribute != Some(Attribute::Error) {
                return Err(VolumeError::NotSupported {
                    what: "removing a control attribute",
                });
            }
            let object = self.tree.envelope(&node)?.header().object;
            self.outcomes.clear_error(object, request.uid());
            return Ok(());
        }
        let object = self.tree.object(&node)?;
        let volume = self.volume();
        if !Volume::is_sealed_xattr(name) {
            return volume.remove_plain_xattr(&object, name);
        }
        if !volume.has_sealed_xattrs(&object)? {
            return Err(VolumeError::NoAttribute);
        }
        let caller = self.caller_about(request, &node)?;
        if node.kind == Kind::Directory {
            let directory = self.tree.directory(&node)?;
            directory.envelope().authorise(&caller)?;
            return volume.remove_sealed_xattr(&object, &*directory, name);
        }
        self.with_file(&node, None, &caller, |file| {
            volume.remove_sealed_xattr(&object, file, name)
        })
    }

    /// The ioctl: the errno that it returns (0: success) and the struct.
    pub(super) fn re_encrypt(
        &self,
        request: &Request,
        number: INodeNo,
        bytes: &[u8],
    ) -> Result<(i32, Vec<u8>), VolumeError> {
        let mut node = self.node(number)?;
        let asked = ioctl::parse(bytes);
        let mut looked_up = None;
        if let Ok(ioctl::Asked {
            name: Some(name), ..
        }) = &asked
        {
            let found = self.tree.lookup(&node, name)?;
            node = self.tree.node(found.inode)?;
            looked_up = Some(found.inode);
        }
        let envelope = self.tree.envelope(&node);
        if let Some(number) = looked_up {
            self.tree.forget(number, 1);
        }
        let envelope = envelope?;
        let result = asked
            .map_err(control::Failure::from)
            .and_then(|asked| self.apply(request, &node, &envelope, &asked.control));
        self.outcomes
            .record(envelope.header().object, request.uid(), &result);
        let number = result
            .as_ref()
            .map_or_else(|failure| errno::of(&failure.error), |_| 0);
        let generation = envelope.header().generation;
        Ok((number, ioctl::answer(&result, generation)))
    }
}
