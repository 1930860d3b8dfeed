//! Calls of members that are there: of a wrong generation, of another type, fenced by their own instance id.

use super::{Asked, text};
use anyhow::{Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{Wire, name};
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, LeaveGroupRequest,
    OffsetDeleteRequest, SyncGroupRequest,
};

impl Asked {
    /// A group with one member that has joined and not synced, then has.
    pub(super) fn live(&mut self) -> Result<()> {
        let group = self.group("live");
        let first = self.wire.call(5, &self.join(5, &group, "", None))?;
        let member = first.member_id.to_string();
        let joined = self.wire.call(5, &self.join(5, &group, &member, None))?;
        ensure!(joined.error_code == 0, "JoinGroup: error {}", joined.error_code);
        let at = (0, 5, "");
        self.commit("live: before sync", 8, &group, &member, joined.generation_id, at, true)?;
        self.commit("live: no member", 8, &group, "", -1, at, true)?;
        self.commit("live: unknown member", 8, &group, "nobody", joined.generation_id, at, true)?;
        let sync = |generation| {
            SyncGroupRequest::default()
                .with_group_id(text(&group).into())
                .with_generation_id(generation)
                .with_member_id(text(&member))
        };
        let code = self.wire.call(3, &sync(99))?.error_code;
        self.note("live: sync of a wrong generation", 3, code);
        let wrong = sync(joined.generation_id)
            .with_protocol_type(Some(text("connect")))
            .with_protocol_name(Some(text("range")));
        let code = self.wire.call(5, &wrong)?.error_code;
        self.note("live: sync of another type", 5, code);
        let code = self.wire.call(3, &sync(joined.generation_id))?.error_code;
        self.note("live: sync", 3, code);
        self.commit("live: wrong generation", 8, &group, &member, 99, at, true)?;
        self.commit("live: right", 8, &group, &member, joined.generation_id, at, true)?;
        let beat = HeartbeatRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(99)
            .with_member_id(text(&member));
        let code = self.wire.call(3, &beat)?.error_code;
        self.note("live: heartbeat of a wrong generation", 3, code);
        let connect = self.join(3, &group, "", None).with_protocol_type(text("connect"));
        self.joined("live: join of another type", 3, &connect)?;
        let mut other = self.join(3, &group, "", None);
        other.protocols[0].name = text("other");
        self.joined("live: join with another assignor", 3, &other)?;
        let request = DeleteGroupsRequest::default().with_groups_names(vec![text(&group).into()]);
        let answer = self.wire.call(2, &request)?;
        self.note("live: delete", 2, answer.results[0].error_code);
        let answer =
            self.wire.call(5, &DescribeGroupsRequest::default().with_groups(vec![text(&group).into()]))?;
        let g = &answer.groups[0];
        let line = format!("{} {} {} {}", g.error_code, g.group_state, g.protocol_type, g.protocol_data);
        self.note("live: describe", 5, line);
        Ok(())
    }

    /// Two processes with one `group.instance.id`.
    pub(super) fn fenced(&mut self) -> Result<()> {
        let group = self.group("static");
        let old = self.wire.call(5, &self.join(5, &group, "", Some("one")))?;
        ensure!(old.error_code == 0, "JoinGroup: error {}", old.error_code);
        let sync = SyncGroupRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(old.generation_id)
            .with_group_instance_id(Some(text("one")))
            .with_member_id(old.member_id.clone());
        ensure!(self.wire.call(3, &sync)?.error_code == 0);
        let mut second = Wire::connect(self.addr)?;
        let new = second.call(5, &self.join(5, &group, "", Some("one")))?;
        self.note("static: the same instance again", 5, format!("{} {}", new.error_code, new.generation_id));
        let code = self.wire.call(3, &sync)?.error_code;
        self.note("static: sync of the old one", 3, code);
        let beat = HeartbeatRequest::default()
            .with_group_id(text(&group).into())
            .with_generation_id(old.generation_id)
            .with_group_instance_id(Some(text("one")))
            .with_member_id(old.member_id.clone());
        let code = self.wire.call(3, &beat)?.error_code;
        self.note("static: heartbeat of the old one", 3, code);
        self.joined("static: join of the old one", 5, &self.join(5, &group, &old.member_id, Some("one")))?;
        self.joined(
            "static: known member, other instance",
            5,
            &self.join(5, &group, &new.member_id, Some("two")),
        )?;
        let leave = |member: &str, instance: Option<&str>| {
            MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text))
        };
        let members =
            vec![leave(&old.member_id, Some("one")), leave("", Some("two")), leave("", Some("one"))];
        let request = LeaveGroupRequest::default().with_group_id(text(&group).into()).with_members(members);
        let answer = self.wire.call(3, &request)?;
        let each: Vec<_> = answer.members.iter().map(|m| m.error_code).collect();
        self.note("static: leave as the old one, as another, as itself", 3, format!("{each:?}"));
        Ok(())
    }

    /// What a batch of `__consumer_offsets` may be; none: as it was made.
    fn limit(&mut self, bytes: Option<&str>) -> Result<()> {
        let config = AlterableConfig::default()
            .with_name(text("max.message.bytes"))
            .with_config_operation(if bytes.is_some() { 0 } else { 1 })
            .with_value(bytes.map(text));
        let topic = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("__consumer_offsets"))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![topic]);
        let answer = self.wire.call(1, &request)?;
        ensure!(answer.responses[0].error_code == 0, "{:?}", answer.responses[0].error_message);
        Ok(())
    }

    /// Records that the log does not take: an assignment over `max.message.bytes`, then any record at all.
    pub(super) fn too_large(&mut self) -> Result<()> {
        let (wide, kept, fixed) = (self.group("wide"), self.group("kept"), self.group("fixed"));
        let joined = self.wire.call(3, &self.join(3, &wide, "", None))?;
        ensure!(joined.error_code == 0, "JoinGroup: error {}", joined.error_code);
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from(vec![7; 1_100_000]));
        let sync = SyncGroupRequest::default()
            .with_group_id(text(&wide).into())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id)
            .with_assignments(vec![assignment]);
        let code = self.wire.call(3, &sync)?.error_code;
        self.note("too large: assignment", 3, code);
        let state =
            self.wire.call(5, &DescribeGroupsRequest::default().with_groups(vec![text(&wide).into()]))?;
        self.note("too large: the group then", 5, state.groups[0].group_state.to_string());

        let old = self.wire.call(5, &self.join(5, &fixed, "", Some("one")))?;
        let sync = SyncGroupRequest::default()
            .with_group_id(text(&fixed).into())
            .with_generation_id(old.generation_id)
            .with_member_id(old.member_id);
        ensure!(self.wire.call(3, &sync)?.error_code == 0);
        self.commit("too large: before", 8, &kept, "", -1, (0, 5, ""), true)?;
        self.limit(Some("1"))?;
        let refused = self.refused(&kept);
        let answers = refused.and_then(|()| self.without_room(&kept, &fixed));
        self.limit(None)?;
        answers
    }

    /// Until the limit is in force.
    fn refused(&mut self, group: &str) -> Result<()> {
        for _ in 0..3_000 {
            if self.committed(8, group, "", -1, (0, 5, ""), true)? != 0 {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        anyhow::bail!("the limit is not in force")
    }

    fn without_room(&mut self, kept: &str, fixed: &str) -> Result<()> {
        for version in 2..=9 {
            self.commit("too large: commit", version, kept, "", -1, (0, 6, ""), true)?;
        }
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topic =
            OffsetDeleteRequestTopic::default().with_name(name(&self.topic)).with_partitions(vec![partition]);
        let request =
            OffsetDeleteRequest::default().with_group_id(text(kept).into()).with_topics(vec![topic]);
        let answer = self.wire.call(0, &request)?;
        self.note("too large: offset delete", 0, format!("{} {}", answer.error_code, answer.topics.len()));
        let request = DeleteGroupsRequest::default().with_groups_names(vec![text(kept).into()]);
        let answer = self.wire.call(2, &request)?;
        self.note("too large: delete", 2, answer.results[0].error_code);
        self.joined("too large: a static member again", 5, &self.join(5, fixed, "", Some("one")))?;
        let member = MemberIdentity::default().with_group_instance_id(Some(text("one")));
        let request =
            LeaveGroupRequest::default().with_group_id(text(fixed).into()).with_members(vec![member]);
        let answer = self.wire.call(3, &request)?;
        self.note(
            "too large: the last member leaves",
            3,
            format!("{} {}", answer.error_code, answer.members.len()),
        );
        Ok(())
    }
}
