//! Reseals through a mount, by the real binary: `user.kms.data_key`, the ioctl, `rekeyfs rekey`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

/// `value` reads a control attribute, `reach` asks for `user.kms.reseal` until it says so.
const REACH: &str = r#"value() { getfattr --absolute-names --only-values -n user.kms.$1 "$2"; }
reach() { for i in $(seq 6000); do
      said=$(getfattr --absolute-names --only-values -n user.kms.reseal "$2"); case "$said" in "state=$1 "*) return;; esac; read -rt 0.005 <> <(:) || :
      done; echo "$said"; return 1; }
"#;

fn waiting(m: &Mount, script: &str) -> String {
    m.sh(&format!("{REACH}set -x\n{script}"))
}

#[test]
fn a_file_gets_another_data_key_while_it_is_used() {
    let m = Mount::new();
    waiting(
        &m,
        r#"head -c 30000000 /dev/urandom > big; cp big $MNT/big; touch -d 2001-02-03 $MNT/big; inode=$(stat -c %i $MNT/big)
          ln $MNT/big $MNT/hard; setfattr -n user.note -v value $MNT/big; sync $MNT/big; touch -d 2001-02-03 $MNT/big
          [[ $(value data_key $MNT/big) = "epoch=1 created="* ]]
          ! getfattr --absolute-names -n user.kms.reseal $MNT/big 2>/dev/null
          setfattr -n user.kms.data_key -v new $MNT/big; cmp big $MNT/big
          reach done $MNT/big; [ "$said" = 'state=done epoch=2 done=115 total=115 lost=0' ]
          [[ $(value data_key $MNT/hard) = "epoch=2 created="* ]]
          cmp big $MNT/hard; [ $(stat -c %i $MNT/big) = $inode ]; [ "$(stat -c %y $MNT/big | cut -c1-10)" = 2001-02-03 ]
          [ "$(getfattr --absolute-names --only-values -n user.note $MNT/big)" = value ]"#,
    );
    m.remount();
    m.sh("cmp big $MNT/big; cmp big $MNT/hard");
    let (_, said) = m.fails("setfattr -n user.kms.data_key -v old $MNT/big");
    assert!(said.contains("Invalid argument"), "{said}");
    let (_, said) = m.fails("setfattr -n user.kms.reseal -v x $MNT/big");
    assert!(said.contains("not supported"), "{said}");
}

#[test]
fn a_directory_is_used_while_its_names_are_moved() {
    let m = Mount::new();
    waiting(
        &m,
        r#"mkdir $MNT/d; (cd $MNT/d; for i in $(seq 3000); do echo $i > f$i; done; mkdir sub; echo x > sub/x; touch $(printf 'n%.0s' $(seq 250)))
          exec 7< $MNT/d/f77; ls $MNT/d | sort > before; ls $VOL/* | sort > stored
          setfattr -n user.kms.data_key -v new $MNT/d
          for i in $(seq 1 7 3000); do [ $(cat $MNT/d/f$i) = $i ]; done; [ $(cat <&7) = 77 ]; ls $MNT/d | sort | cmp - before
          echo new > $MNT/d/new; mv $MNT/d/f1 $MNT/d/g1; rm $MNT/d/f2; [ $(cat $MNT/d/g1) = 1 ]; cat $MNT/d/sub/x
          reach done $MNT/d; sed -e 's/^f1$/g1/' -e '/^f2$/d' before | (cat; echo new) | sort > after; ls $MNT/d | sort | cmp - after
          for i in $(seq 3 7 3000); do [ $(cat $MNT/d/f$i) = $i ]; done; cat $MNT/d/sub/x; echo y >> $MNT/d/f3000; cd $MNT/d/sub; [ -e ../f5 ]"#,
    );
    m.remount();
    m.sh("ls $MNT/d | sort | cmp - after; [ $(cat $MNT/d/f4) = 4 ]; rekeyfs umount $MNT; rekeyfs check $VOL");
}

#[test]
fn a_reseal_that_was_killed_is_resumed_by_the_next_open_and_by_check() {
    let m = Mount::new();
    let half = r#"head -c 400000000 /dev/zero | tr '\0' x > big; rekeyfs mount $VOL $MNT 2>/dev/null || :; cp big $MNT/big; sync $MNT/big
          setfattr -n user.kms.data_key -v new $MNT/big; pkill -KILL -f "rekeyfs mount $VOL" || :; umount -l $MNT"#;
    waiting(&m, half);
    waiting(
        &m,
        "rekeyfs mount $VOL $MNT; [[ $(value reseal $MNT/big) = \"state=stopped epoch=2\"* ]]
         head -c 1 $MNT/big; reach done $MNT/big; cmp big $MNT/big",
    );
    m.sh(r#"setfattr -n user.kms.data_key -v new $MNT/big; pkill -KILL -f "rekeyfs mount $VOL" || :; umount -l $MNT"#);
    let (exit, _) = m.fails("rekeyfs check $VOL > said");
    assert_eq!(exit, 1);
    waiting(&m, "grep -q 'reseal' said; rekeyfs check --repair $VOL > said || [ $? = 1 ]; rekeyfs check $VOL
          rekeyfs mount $VOL $MNT; cmp big $MNT/big; [[ $(value data_key $MNT/big) = \"epoch=3 \"* ]]");
}

#[test]
fn a_tree_is_resealed_by_one_command_mounted_or_not() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/other");
    waiting(
        &m,
        r#"mkdir -p $MNT/a/b; echo 1 > $MNT/a/one; echo 2 > $MNT/a/b/two; ln -s one $MNT/a/link
          rekeyfs rekey -r --data-key new $MNT | sort > said; grep -c '^resealed ' said | grep -qx 5
          [[ $(value data_key $MNT/a/b/two) = "epoch=2 "* ]]
          rekeyfs rekey --data-key new --destination-key-id alias/other $MNT/a/one
          ! rekeyfs rekey --data-key new --source-key-id alias/other $MNT/a/one 2> refused; grep -q 'for re-encryption' refused
          [[ $(value data_key $MNT/a/one) = "epoch=3 "* ]]
          before=$(value key_id $MNT/a/b/two)
          [ "$(value key_id $MNT/a/one)" != "$before" ]"#,
    );
    waiting(
        &m,
        r#"rekeyfs umount $MNT; rekeyfs rekey -r -q --data-key new $VOL; rekeyfs check $VOL; rekeyfs mount $VOL $MNT
          [ $(cat $MNT/a/one)$(cat $MNT/a/b/two)$(cat $MNT/a/link) = 121 ]
          [[ $(value data_key $MNT) = "epoch=3 "* ]]
          [[ $(value data_key $MNT/a/one) = "epoch=4 "* ]]"#,
    );
}

#[test]
fn a_reseal_stops_when_the_key_is_disabled_and_goes_on_when_it_is_not() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/other");
    waiting(
        &m,
        r#"head -c 400000000 /dev/zero | tr '\0' x > big; cp big $MNT/big; sync $MNT/big; rekeyfs rekey -q --destination-key-id alias/other $MNT/big
          id=$(rekeyfs kms describe-key --key-id alias/other --query KeyMetadata.KeyId --output text)
          setfattr -n user.kms.data_key -v new $MNT/big; ! setfattr -n user.kms.data_key -v new $MNT/big 2> said; grep -q busy said
          rekeyfs kms disable-key --key-id $id; reach stopped $MNT/big; ! setfattr -n user.kms.data_key -v new $MNT/big 2>/dev/null
          rekeyfs kms enable-key --key-id $id; cmp big $MNT/big; reach done $MNT/big; cmp big $MNT/big"#,
    );
}
