//! Making objects: what has a name is whole. FORMAT.md, section 5.

use std::ffi::{CStr, CString, OsStr};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Kind};
use super::directory::Directory;
use super::error::{VolumeError, failed};
use super::file::{File, Handle, first_page};
use super::header::ObjectType;
use super::names::{self, DIRECTORY_HEADER, StoredName, StoredTarget};
use super::open::new_header;
use super::rewrap::Envelope;
use super::subkeys::ObjectKey;
use crate::kms::service::{Caller, WrappedKey};
use crate::secret::Secret;

/// Who owns a new object, and its permission bits.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group, unless the directory passes its own on.
    pub gid: u32,
    /// Permission bits, the umask applied.
    pub mode: u32,
    /// Bits that a new object does not get; a default ACL of its directory stands for it.
    pub umask: u32,
}

impl Directory {
    /// Makes a file and opens it. Fails with `EEXIST` if the name is taken.
    ///
    /// # Errors
    /// The key service's: the caller needs kms:GenerateDataKey on the directory's key (kms:Encrypt
    /// if that is asymmetric). The backing filesystem's. Nothing is left behind then.
    pub fn create_file(
        &self,
        caller: &Caller,
        name: &OsStr,
        owner: Owner,
    ) -> Result<(CString, Handle, Attributes), VolumeError> {
        self.volume().check_writable()?;
        let (header, key) = self.new_object(caller, ObjectType::File)?;
        let _names = self.using_names();
        let (owner, _) = self.masked(owner);
        let stored = self.seal(name)?;
        let slot = header.encode()?;
        let page = first_page(header.current().number, self.volume().session);
        let layout = self.volume().layout;
        let backing = &self.volume().backing;
        let unnamed = self.open_unnamed(owner)?;
        let prepared = (|| {
            let entry_page = page.encode(&key.trailer(), key.object(), 0);
            let write = |bytes: &[u8], at| {
                backing
                    .write(unnamed.fd.as_fd(), &mut [IoSlice::new(bytes)], at)
                    .map_err(|(_, errno)| failed("write a new file")(errno))
            };
            write(&slot, 0)?;
            write(&entry_page.0, layout.entry_page(0))?;
            self.give_to(unnamed.fd.as_fd(), owner)?;
            self.volume().attributes_of(&unnamed.fd)
        })();
        let inode = match prepared {
            Ok(attributes) => attributes.inode,
            Err(e) => {
                unnamed.discard(self);
                return Err(e);
            }
        };
        // Known before it has a name: whoever finds the name shares this envelope.
        let Unnamed { fd, temporary } = unnamed;
        let envelope = Envelope::fresh(self.volume(), fd, inode, header);
        let handle = File::created(&envelope, key, &page)?;
        let published = self
            .publish(envelope.reader(), temporary.as_deref(), &stored)
            .and_then(|()| self.volume().attributes_of(envelope.reader()));
        match published {
            Ok(attributes) => {
                self.volume().made.name(self, &stored.name);
                Ok((stored.name, handle, attributes))
            }
            Err(e) => {
                self.discard(temporary.as_deref());
                Err(e)
            }
        }
    }

    fn new_object(
        &self,
        caller: &Caller,
        object_type: ObjectType,
    ) -> Result<(super::header::Header, ObjectKey), VolumeError> {
        let (data_key, wrapped) = self.new_data_key(caller)?;
        Ok(new_header(
            object_type,
            self.volume().layout,
            data_key,
            wrapped,
        ))
    }

    /// A data key as the directory's is wrapped.
    ///
    /// What has none of its own, a symlink or a device, is made by whoever could make one too.
    fn new_data_key(&self, caller: &Caller) -> Result<(Secret<32>, WrappedKey), VolumeError> {
        let parent = self.envelope().wrapped();
        let made = self.volume().keys.new_data_key(
            caller,
            &parent.key_arn,
            parent.algorithm,
            &parent.context,
        )?;
        Ok(made)
    }

    /// A file without a name, or with a temporary one where the backing filesystem knows none.
    fn open_unnamed(&self, owner: Owner) -> Result<Unnamed, VolumeError> {
        let backing = &self.volume().backing;
        let mode = Mode::from_raw_mode(owner.mode);
        match backing.open_at(self.fd(), c".", OFlags::RDWR | OFlags::TMPFILE, mode) {
            Ok(fd) => Ok(Unnamed {
                fd,
                temporary: None,
            }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let name = names::temporary();
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
                let fd = backing
                    .open_at(self.fd(), &name, flags, mode)
                    .map_err(failed("create"))?;
                Ok(Unnamed {
                    fd,
                    temporary: Some(name),
                })
            }
            Err(errno) => Err(failed("create")(errno)),
        }
    }

    fn publish(
        &self,
        fd: BorrowedFd<'_>,
        temporary: Option<&CStr>,
        stored: &StoredName,
    ) -> Result<(), VolumeError> {
        self.write_companion(stored, false)?;
        let backing = &self.volume().backing;
        match temporary {
            None => backing.link_at(fd, self.fd(), &stored.name),
            Some(name) => self.rename_new(name, &stored.name),
        }
        .map_err(failed("create"))
    }

    fn discard(&self, temporary: Option<&CStr>) {
        if let Some(name) = temporary {
            let _ = self.volume().backing.unlink_at(self.fd(), name, false);
        }
    }

    pub(super) fn rename_new(&self, temporary: &CStr, name: &CStr) -> Result<(), Errno> {
        let backing = &self.volume().backing;
        let flags = RenameFlags::NOREPLACE;
        match backing.rename_at(self.fd(), temporary, self.fd(), name, flags) {
            // A filesystem that cannot: the kernel above has looked and holds the directory.
            Err(Errno::INVAL) => {
                backing.rename_at(self.fd(), temporary, self.fd(), name, RenameFlags::empty())
            }
            result => result,
        }
    }

    /// Writes the companion of a long name; before the object has the name. With `durable` also
    /// before a power cut: where the object was durable under another name.
    pub(super) fn write_companion(
        &self,
        stored: &StoredName,
        durable: bool,
    ) -> Result<(), VolumeError> {
        let Some((name, sealed)) = &stored.companion else {
            return Ok(());
        };
        let backing = &self.volume().backing;
        let temporary = names::temporary();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let written = (|| {
            let fd = backing.open_at(self.fd(), &temporary, flags, Mode::RUSR | Mode::WUSR)?;
            backing
                .write(fd.as_fd(), &mut [IoSlice::new(sealed)], 0)
                .map_err(|(_, errno)| errno)?;
            if durable {
                backing.sync(fd.as_fd(), true)?;
            }
            // It replaces nothing but its equal: the name is a hash of the content.
            backing.rename_at(self.fd(), &temporary, self.fd(), name, RenameFlags::empty())
        })();
        written.map_err(|errno| {
            let _ = backing.unlink_at(self.fd(), &temporary, false);
            failed("write a long name")(errno)
        })
    }

    /// Applies the umask, unless a default ACL of the directory stands for it; then the backing
    /// filesystem makes the new object's ACL of that, and of the mode. Tells whether it does.
    fn masked(&self, owner: Owner) -> (Owner, bool) {
        let inherits = self
            .volume()
            .backing
            .xattr(self.fd(), super::xattrs::DEFAULT_ACL)
            .is_ok();
        let mode = if inherits {
            owner.mode
        } else {
            owner.mode & !owner.umask
        };
        (Owner { mode, ..owner }, inherits)
    }

    /// Gives a new object to its owner, as far as the daemon may, and its mode again: chown takes
    /// set-id bits away.
    fn give_to(&self, fd: BorrowedFd<'_>, owner: Owner) -> Result<(), VolumeError> {
        if !self.volume().is_root() {
            return Ok(());
        }
        let backing = &self.volume().backing;
        let stat = backing.stat(fd).map_err(failed("stat"))?;
        let parent = backing.stat(self.fd()).map_err(failed("stat"))?;
        let gid = if parent.st_mode & 0o2000 != 0 {
            parent.st_gid
        } else {
            owner.gid
        };
        if stat.st_uid == owner.uid && stat.st_gid == gid {
            return Ok(());
        }
        self.volume().set_owner(fd, Some(owner.uid), Some(gid))?;
        let is_link = Kind::of(stat.st_mode) == Some(Kind::Symlink);
        if stat.st_mode & 0o6000 != 0 && !is_link {
            self.volume().set_mode(fd, stat.st_mode)?;
        }
        Ok(())
    }

    /// Makes a directory. Fails with `EEXIST` if the name is taken.
    ///
    /// # Errors
    /// As [`Directory::create_file`].
    pub fn create_directory(
        &self,
        caller: &Caller,
        name: &OsStr,
        owner: Owner,
    ) -> Result<(CString, Attributes), VolumeError> {
        self.volume().check_writable()?;
        let (header, _) = self.new_object(caller, ObjectType::Directory)?;
        let _names = self.using_names();
        let (owner, inherits) = self.masked(owner);
        let stored = self.seal(name)?;
        let backing = &self.volume().backing;
        let slot = header.encode()?;
        let temporary = names::temporary();
        // Where an ACL is inherited the mode has its say in it from the beginning.
        let first_mode = if inherits {
            Mode::from_raw_mode(owner.mode)
        } else {
            Mode::RWXU
        };
        backing
            .make_dir_at(self.fd(), &temporary, first_mode)
            .map_err(failed("mkdir"))?;
        let made = (|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let fd = backing
                .open_at(self.fd(), &temporary, flags, Mode::empty())
                .map_err(failed("mkdir"))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let file = backing
                .open_at(fd.as_fd(), DIRECTORY_HEADER, flags, Mode::RUSR | Mode::WUSR)
                .map_err(failed("mkdir"))?;
            backing
                .write(file.as_fd(), &mut [IoSlice::new(&slot)], 0)
                .map_err(|(_, errno)| failed("write rekeyfs.dir")(errno))?;
            self.give_to(file.as_fd(), owner)?;
            self.give_to(fd.as_fd(), owner)?;
            // A directory that passes its group on passes the bit on too.
            let parent = backing.stat(self.fd()).map_err(failed("stat"))?;
            if !inherits {
                self.volume()
                    .set_mode(&fd, owner.mode & 0o7777 | parent.st_mode & 0o2000)?;
            }
            self.write_companion(&stored, false)?;
            let header = backing.stat(file.as_fd()).map_err(failed("stat"))?;
            self.rename_new(&temporary, &stored.name)
                .map_err(failed("mkdir"))?;
            self.volume().made.directory(header.st_ino);
            self.volume().made.name(self, &stored.name);
            self.volume().attributes_of(&fd)
        })();
        match made {
            Ok(attributes) => Ok((stored.name, attributes)),
            Err(e) => {
                self.discard_directory(&temporary);
                Err(e)
            }
        }
    }

    /// Makes a symlink. Fails with `EEXIST` if the name is taken.
    ///
    /// # Errors
    /// As for [`Directory::create_file`], and [`VolumeError::NameTooLong`].
    pub fn create_symlink(
        &self,
        caller: &Caller,
        name: &OsStr,
        target: &[u8],
        owner: Owner,
    ) -> Result<(CString, Attributes), VolumeError> {
        self.volume().check_writable()?;
        self.new_data_key(caller)?;
        let _names = self.using_names();
        let stored = self.seal(name)?;
        let backing = &self.volume().backing;
        let (target, long) = match names::seal_target(&self.volume().symlinks, target)? {
            StoredTarget::Short(target) => (target, None),
            StoredTarget::Long {
                reference,
                file,
                sealed,
            } => {
                let targets = self.volume().targets()?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let fd = backing
                    .open_at(targets.as_fd(), &file, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(failed("write a long target"))?;
                backing
                    .write(fd.as_fd(), &mut [IoSlice::new(&sealed)], 0)
                    .map_err(|(_, errno)| failed("write a long target")(errno))?;
                (reference, Some((targets, file)))
            }
        };
        let made = self.write_companion(&stored, false).and_then(|()| {
            backing
                .symlink_at(&target, self.fd(), &stored.name)
                .map_err(failed("symlink"))
        });
        if let (Err(_), Some((targets, file))) = (&made, &long) {
            let _ = backing.unlink_at(targets.as_fd(), file, false);
        }
        made?;
        self.finish_special(stored.name, owner)
    }

    /// Makes a FIFO, socket or device. Fails with `EEXIST` if the name is taken.
    ///
    /// # Errors
    /// As for [`Directory::create_file`].
    pub fn create_node(
        &self,
        caller: &Caller,
        name: &OsStr,
        kind: FileType,
        device: u64,
        owner: Owner,
    ) -> Result<(CString, Attributes), VolumeError> {
        self.volume().check_writable()?;
        self.new_data_key(caller)?;
        let _names = self.using_names();
        let (owner, _) = self.masked(owner);
        let stored = self.seal(name)?;
        self.write_companion(&stored, false)?;
        self.volume()
            .backing
            .make_node_at(
                self.fd(),
                &stored.name,
                kind,
                Mode::from_raw_mode(owner.mode),
                device,
            )
            .map_err(failed("mknod"))?;
        self.finish_special(stored.name, owner)
    }

    fn finish_special(
        &self,
        stored: CString,
        owner: Owner,
    ) -> Result<(CString, Attributes), VolumeError> {
        self.volume().made.name(self, &stored);
        let object = self.object(&stored)?;
        let stat = self.volume().backing.stat(object.as_fd());
        let stat = stat.map_err(failed("stat"))?;
        if stat.st_nlink > 1 || matches!(Kind::of(stat.st_mode), Some(Kind::File | Kind::Directory))
        {
            // Found by its name: somebody who can write there has put something else in its place,
            // to have it given away.
            return Err(failed("make")(Errno::STALE));
        }
        self.give_to(object.as_fd(), owner)?;
        let attributes = self.volume().attributes_of(&object)?;
        Ok((stored, attributes))
    }

    /// Gives an object that is open with O_PATH another name.
    ///
    /// # Errors
    /// `EEXIST`, and the backing filesystem's other.
    pub fn link(
        &self,
        object: &OwnedFd,
        name: &OsStr,
    ) -> Result<(CString, Attributes), VolumeError> {
        self.volume().check_writable()?;
        let _names = self.using_names();
        let stored = self.seal(name)?;
        self.volume().note_other_change(object.as_fd());
        // The object may be durable where it is, and that name may go: what this one stands on must
        // be durable, too.
        self.sync_new_header()?;
        self.write_companion(&stored, self.volume().is_strict())?;
        self.volume()
            .backing
            .link_at(object.as_fd(), self.fd(), &stored.name)
            .map_err(failed("link"))?;
        self.volume().made.name(self, &stored.name);
        let attributes = self.volume().attributes_of(object)?;
        Ok((stored.name, attributes))
    }
}

impl Directory {
    /// Makes a file whose header is lost an empty one, with a new data key of this directory's:
    /// for O_TRUNC. Inode, names and owner stay.
    ///
    /// # Errors
    /// As [`Directory::create_file`].
    pub fn start_over(&self, caller: &Caller, object: &OwnedFd) -> Result<Handle, VolumeError> {
        self.volume().check_writable()?;
        let _one = self.volume().starting_over.lock();
        // Another opening may have done it meanwhile.
        if let Ok(envelope) = self.volume().envelope_of(object) {
            return File::open(&envelope, caller, true);
        }
        let volume = self.volume();
        let stat = volume
            .backing
            .stat(object.as_fd())
            .map_err(failed("stat"))?;
        if stat.st_nlink > 1 {
            // Without a header nothing says that it is ours: somebody may have linked another file
            // of the filesystem to this place. Unlinking takes away only the name.
            return Err(VolumeError::NotSupported {
                what: "making a damaged file with several names anew",
            });
        }
        let (header, key) = self.new_object(caller, ObjectType::File)?;
        let slot = header.encode()?;
        let fd = volume.reopen(object)?;
        let page = first_page(header.current().number, volume.session);
        let entry_page = page.encode(&key.trailer(), key.object(), 0);
        let fault = failed("start a damaged file over");
        volume.backing.truncate(fd.as_fd(), 0).map_err(&fault)?;
        for (bytes, at) in [
            (&slot[..], 0),
            (&entry_page.0[..], volume.layout.entry_page(0)),
        ] {
            volume
                .backing
                .write(fd.as_fd(), &mut [IoSlice::new(bytes)], at)
                .map_err(|(_, errno)| fault(errno))?;
        }
        let inode = volume.backing.stat(fd.as_fd()).map_err(fault)?.st_ino;
        let envelope = Envelope::fresh(volume, fd, inode, header);
        File::created(&envelope, key, &page)
    }
}

/// A file that has no name yet, or only a temporary one.
struct Unnamed {
    fd: OwnedFd,
    temporary: Option<CString>,
}

impl Unnamed {
    fn discard(&self, directory: &Directory) {
        directory.discard(self.temporary.as_deref());
    }
}
