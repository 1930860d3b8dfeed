//! Group calls that cannot be right, in every version: the codes are those that Apache Kafka 4.3.0 gave to the same bytes.
//!
//! `data/group_answers.txt` was written by running the same calls against Kafka: `CALLBOARD_ORACLE=host:port cargo test
//! -p callboard-cluster-tests --test group_answers` asks a running one and compares; with `CALLBOARD_WRITE_ANSWERS=1` it
//! writes the file anew. Names carry a random part, so that a broker may be asked again.

#[path = "group_answers/members.rs"]
mod members;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use callboard_cluster_tests::process::answers::{Said, answers};
use callboard_cluster_tests::process::wire::{Wire, name};
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A broker that is asked, and what it said.
struct Asked {
    wire: Wire,
    addr: SocketAddr,
    /// Makes names new.
    salt: String,
    topic: String,
    id: uuid::Uuid,
    said: Said,
}

impl Asked {
    fn new(addr: SocketAddr) -> Result<Asked> {
        let mut wire = Wire::connect(addr)?;
        let salt = uuid::Uuid::new_v4().simple().to_string();
        let topic = format!("asked-{salt}");
        let id = wire.create_topic(&topic, 2)?;
        let mut asked = Asked { wire, addr, salt, topic, id, said: Said::default() };
        let group = asked.group("warm");
        asked.coordinated(&group)?;
        Ok(asked)
    }

    fn group(&self, of: &str) -> String {
        format!("{of}-{}", self.salt)
    }

    fn note(&mut self, case: &str, version: i16, answer: impl std::fmt::Display) {
        self.said.note(case, version, answer);
    }

    /// Until the group's coordinator is there.
    fn coordinated(&mut self, group: &str) -> Result<()> {
        let find = FindCoordinatorRequest::default().with_key(text(group));
        let describe = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
        for _ in 0..3_000 {
            let found = self.wire.call(0, &find)?.error_code == 0;
            if found && self.wire.call(0, &describe)?.groups[0].error_code == 0 {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        anyhow::bail!("no coordinator for {group}")
    }

    fn join(&self, version: i16, group: &str, member: &str, instance: Option<&str>) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        let request = JoinGroupRequest::default()
            .with_group_id(text(group).into())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(member))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        match instance {
            Some(instance) if version >= 5 => request.with_group_instance_id(Some(text(instance))),
            _ => request,
        }
    }

    fn joined(&mut self, case: &str, version: i16, request: &JoinGroupRequest) -> Result<JoinGroupResponse> {
        let answer = self.wire.call(version, request)?;
        let name = answer.protocol_name.as_ref().map(|n| n.to_string());
        let line = format!(
            "{} generation {} type {:?} name {name:?} leader {:?} id {}",
            answer.error_code,
            answer.generation_id,
            answer.protocol_type.as_ref().map(|t| t.to_string()),
            answer.leader.is_empty(),
            if answer.member_id.is_empty() { "none" } else { "some" },
        );
        self.note(case, version, line);
        Ok(answer)
    }

    fn find(&mut self) -> Result<()> {
        let share = (1..=5).map(|version| ("find: key of a share group", 2, version));
        for (case, key_type, version) in
            (1..=6).map(|version| ("find: unknown type", 9, version)).chain(share)
        {
            let request = FindCoordinatorRequest::default().with_key_type(key_type);
            let request = if version < 4 {
                request.with_key(text("x"))
            } else {
                request.with_coordinator_keys(vec![text("x")])
            };
            let answer = self.wire.call(version, &request)?;
            let code = answer.coordinators.first().map_or(answer.error_code, |c| c.error_code);
            self.note(case, version, code);
        }
        for version in 1..=3 {
            let group = self.group("found");
            let request = FindCoordinatorRequest::default().with_key(text(&group));
            let answer = self.wire.call(version, &request)?;
            let message = answer.error_message.map(|m| m.to_string());
            self.note("find: a group", version, format!("{} {message:?}", answer.error_code));
        }
        Ok(())
    }

    fn joins(&mut self) -> Result<()> {
        for version in 0..=9 {
            let group = self.group(&format!("join{version}"));
            let good = self.join(version, &group, "", None);
            self.joined("join: empty group", version, &good.clone().with_group_id(text("").into()))?;
            self.joined("join: session 1 ms", version, &good.clone().with_session_timeout_ms(1))?;
            self.joined("join: session 2 h", version, &good.clone().with_session_timeout_ms(7_200_000))?;
            self.joined("join: unknown member", version, &good.clone().with_member_id(text("nobody")))?;
            self.joined("join: empty type", version, &good.clone().with_protocol_type(text("")))?;
            self.joined("join: no protocols", version, &good.clone().with_protocols(vec![]))?;
            if version >= 4 {
                self.joined("join: dynamic, first", version, &good)?;
            }
        }
        Ok(())
    }

    fn calls(&mut self) -> Result<()> {
        for version in 0..=5 {
            for (case, group) in [("sync: empty group", String::new()), ("sync: unknown", self.group("none"))]
            {
                let request = SyncGroupRequest::default()
                    .with_group_id(text(&group).into())
                    .with_generation_id(1)
                    .with_member_id(text("nobody"));
                if version >= 5 {
                    let code = self.wire.call(version, &request)?.error_code;
                    self.note(&format!("{case}, no protocol"), version, code);
                }
                let named = match version >= 5 {
                    true => request
                        .with_protocol_type(Some(text("consumer")))
                        .with_protocol_name(Some(text("range"))),
                    false => request,
                };
                let code = self.wire.call(version, &named)?.error_code;
                self.note(case, version, code);
            }
        }
        for version in 0..=4 {
            for (case, group) in [("beat: empty group", String::new()), ("beat: unknown", self.group("none"))]
            {
                let request = HeartbeatRequest::default()
                    .with_group_id(text(&group).into())
                    .with_member_id(text("nobody"));
                let code = self.wire.call(version, &request)?.error_code;
                self.note(case, version, code);
            }
        }
        for version in 0..=5 {
            for (case, group) in
                [("leave: empty group", String::new()), ("leave: unknown", self.group("none"))]
            {
                let request = LeaveGroupRequest::default().with_group_id(text(&group).into());
                let request = match version < 3 {
                    true => request.with_member_id(text("nobody")),
                    false => {
                        request.with_members(vec![MemberIdentity::default().with_member_id(text("nobody"))])
                    }
                };
                let answer = self.wire.call(version, &request)?;
                let each: Vec<i16> = answer.members.iter().map(|m| m.error_code).collect();
                self.note(case, version, format!("{} {each:?}", answer.error_code));
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn commit(
        &mut self,
        case: &str,
        version: i16,
        group: &str,
        member: &str,
        generation: i32,
        at: (i32, i64, &str),
        known: bool,
    ) -> Result<()> {
        let code = self.committed(version, group, member, generation, at, known)?;
        self.note(case, version, code);
        Ok(())
    }

    fn committed(
        &mut self,
        version: i16,
        group: &str,
        member: &str,
        generation: i32,
        (partition, offset, metadata): (i32, i64, &str),
        known: bool,
    ) -> Result<i16> {
        let asked = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text(metadata)));
        let topic = match (version >= 10, known) {
            (true, true) => OffsetCommitRequestTopic::default().with_topic_id(self.id),
            (true, false) => OffsetCommitRequestTopic::default().with_topic_id(uuid::Uuid::new_v4()),
            (false, true) => OffsetCommitRequestTopic::default().with_name(name(&self.topic)),
            (false, false) => OffsetCommitRequestTopic::default().with_name(name("no-such-topic")),
        };
        let request = OffsetCommitRequest::default()
            .with_group_id(text(group).into())
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
            .with_topics(vec![topic.with_partitions(vec![asked])]);
        let answer = self.wire.call(version, &request)?;
        Ok(answer.topics[0].partitions[0].error_code)
    }

    fn commits(&mut self) -> Result<()> {
        let long = "m".repeat(5_000);
        for version in 2..=9 {
            let group = self.group(&format!("commit{version}"));
            let at = (0, 5, "");
            self.commit("commit: unknown topic", version, &group, "", -1, at, false)?;
            self.commit("commit: wrong partition", version, &group, "", -1, (7, 5, ""), true)?;
            self.commit("commit: partition -1", version, &group, "", -1, (-1, 5, ""), true)?;
            self.commit("commit: generation, no group", version, &group, "nobody", 3, at, true)?;
            self.commit("commit: member, no group", version, &group, "nobody", -1, at, true)?;
            self.commit("commit: long metadata", version, &group, "", -1, (0, 5, &long), true)?;
            self.commit("commit: negative offset", version, &group, "", -1, (0, -5, ""), true)?;
            self.commit("commit: empty group", version, "", "", -1, at, true)?;
            self.commit("commit: no member", version, &group, "", -1, (1, 9, "w"), true)?;
        }
        Ok(())
    }

    fn fetches(&mut self) -> Result<()> {
        let group = self.group("commit9");
        for version in 1..=7 {
            for (case, group) in
                [("offsets: unknown group", self.group("none")), ("offsets: known", group.clone())]
            {
                let topic = OffsetFetchRequestTopic::default()
                    .with_name(name(&self.topic))
                    .with_partition_indexes(vec![1, 0, 7]);
                let missing = OffsetFetchRequestTopic::default()
                    .with_name(name("no-such-topic"))
                    .with_partition_indexes(vec![0]);
                let request = OffsetFetchRequest::default()
                    .with_group_id(text(&group).into())
                    .with_topics(Some(vec![topic, missing]));
                let answer = self.wire.call(version, &request)?;
                let mut each = Vec::new();
                for topic in &answer.topics {
                    for p in &topic.partitions {
                        let words = p.metadata.as_ref().map(|m| m.to_string());
                        each.push((p.partition_index, p.committed_offset, p.error_code, words));
                    }
                }
                self.note(case, version, format!("{} {each:?}", answer.error_code));
            }
        }
        for version in 8..=9 {
            let by_id = |t: OffsetFetchRequestTopics, id, called: &str| match version >= 10 {
                true => t.with_topic_id(id),
                false => t.with_name(name(called)),
            };
            let mut topics = vec![
                by_id(OffsetFetchRequestTopics::default(), self.id, &self.topic)
                    .with_partition_indexes(vec![1, 7]),
            ];
            topics.push(
                by_id(OffsetFetchRequestTopics::default(), uuid::Uuid::new_v4(), "no-such-topic")
                    .with_partition_indexes(vec![0]),
            );
            let groups = [self.group("none"), group.clone()].map(|group| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(text(&group).into())
                    .with_topics(Some(topics.clone()))
            });
            let answer =
                self.wire.call(version, &OffsetFetchRequest::default().with_groups(groups.to_vec()))?;
            let mut groups = answer.groups;
            groups.sort_by_key(|g| g.group_id.to_string());
            for (n, group) in groups.iter().enumerate() {
                let mut each = Vec::new();
                for p in group.topics.iter().flat_map(|t| &t.partitions) {
                    each.push((p.partition_index, p.committed_offset, p.error_code));
                }
                self.note(&format!("offsets: group {n}"), version, format!("{} {each:?}", group.error_code));
            }
        }
        Ok(())
    }

    fn operators(&mut self) -> Result<()> {
        for version in 0..=6 {
            let groups = vec![text(&self.group("none")).into(), text(&self.group("commit9")).into()];
            let mut answer =
                self.wire.call(version, &DescribeGroupsRequest::default().with_groups(groups))?;
            // Kafka answers in the order of the groups' partitions.
            answer.groups.sort_by_key(|g| g.group_id.to_string());
            let each: Vec<_> = answer
                .groups
                .iter()
                .map(|g| {
                    (
                        g.error_code,
                        g.group_state.to_string(),
                        g.protocol_type.to_string(),
                        g.authorized_operations,
                    )
                })
                .collect();
            self.note("describe", version, format!("{each:?}"));
        }
        for version in 3..=6 {
            let groups = vec![text(&self.group("commit9")).into()];
            let request =
                DescribeGroupsRequest::default().with_groups(groups).with_include_authorized_operations(true);
            let answer = self.wire.call(version, &request)?;
            self.note("describe: operations", version, answer.groups[0].authorized_operations);
        }
        for version in 4..=5 {
            let request = ListGroupsRequest::default().with_states_filter(vec![text("NoSuchState")]);
            let answer = self.wire.call(version, &request)?;
            self.note(
                "list: unknown state",
                version,
                format!("{} {}", answer.error_code, answer.groups.len()),
            );
            let request = ListGroupsRequest::default().with_states_filter(vec![text("empty")]);
            let answer = self.wire.call(version, &request)?;
            let mine = self.group("commit9");
            let found: Vec<_> = answer
                .groups
                .iter()
                .filter(|g| g.group_id.0.to_string() == mine)
                .map(|g| (g.protocol_type.to_string(), g.group_state.to_string(), g.group_type.to_string()))
                .collect();
            self.note("list: empty", version, format!("{} {found:?}", answer.error_code));
        }
        Ok(())
    }

    fn deletions(&mut self) -> Result<()> {
        for version in 0..=2 {
            let groups = vec![text(&self.group("none")).into(), text("").into()];
            let request = DeleteGroupsRequest::default().with_groups_names(groups);
            let mut answer = self.wire.call(version, &request)?;
            answer.results.sort_by_key(|r| r.group_id.to_string());
            let each: Vec<_> = answer.results.iter().map(|r| r.error_code).collect();
            self.note("delete: unknown, empty", version, format!("{each:?}"));
        }
        for group in [String::new(), self.group("none"), self.group("commit9")] {
            let partition = |n| OffsetDeleteRequestPartition::default().with_partition_index(n);
            let topic = OffsetDeleteRequestTopic::default()
                .with_name(name(&self.topic))
                .with_partitions(vec![partition(1), partition(7)]);
            let missing = OffsetDeleteRequestTopic::default()
                .with_name(name("no-such-topic"))
                .with_partitions(vec![partition(0)]);
            let request = OffsetDeleteRequest::default()
                .with_group_id(text(&group).into())
                .with_topics(vec![topic, missing]);
            let answer = self.wire.call(0, &request)?;
            let mut each: Vec<_> = answer
                .topics
                .iter()
                .flat_map(|t| t.partitions.iter().map(|p| (p.partition_index, p.error_code)))
                .collect();
            // Kafka answers in the order of a hash map.
            each.sort_unstable();
            let of = group.split('-').next().unwrap_or_default();
            self.note(&format!("offset delete: {of:?}"), 0, format!("{} {each:?}", answer.error_code));
        }
        Ok(())
    }
}

fn ask(addr: SocketAddr) -> Result<Said> {
    let mut asked = Asked::new(addr)?;
    asked.find().context("find")?;
    asked.joins().context("joins")?;
    asked.calls().context("calls")?;
    asked.commits().context("commits")?;
    asked.fetches().context("fetches")?;
    asked.operators().context("operators")?;
    asked.deletions().context("deletions")?;
    asked.live().context("a live group")?;
    asked.fenced().context("a static member")?;
    asked.too_large().context("records that are too large")?;
    Ok(asked.said)
}

#[test]
fn group_calls_are_answered_as_by_kafka() -> Result<()> {
    answers(ask)?.judge("group_answers.txt", &[])
}
