package main

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fails wants this error.
func fails(err error, wanted *kerr.Error, what string) {
	if !errors.Is(err, wanted) {
		fail("%s: got %v, wanted %v", what, err, wanted)
	}
}

func (s *suite) topics() {
	topic := s.topic(2)
	_, err := s.admin.CreateTopic(ctx(), 2, 1, nil, topic)
	fails(err, kerr.TopicAlreadyExists, "a second creation")
	_, err = s.admin.CreateTopic(ctx(), 1, 9, nil, name())
	fails(err, kerr.InvalidReplicationFactor, "more replicas than nodes")
	bad := "soon"
	_, err = s.admin.CreateTopic(ctx(), 1, 1, map[string]*string{"retention.ms": &bad}, name())
	fails(err, kerr.InvalidConfig, "a bad config value")
	grown, err := s.admin.UpdatePartitions(ctx(), 5, topic)
	good(err, "more partitions")
	good(grown.Error(), "more partitions")
	await("five partitions", func() bool {
		details, err := s.admin.ListTopics(ctx(), topic)
		good(err, "topics")
		return len(details[topic].Partitions) == 5
	})
	shrunk, err := s.admin.UpdatePartitions(ctx(), 2, topic)
	good(err, "fewer partitions")
	fails(shrunk.Error(), kerr.InvalidPartitions, "fewer partitions")
	s.produce([]*kgo.Record{{Topic: topic, Partition: 4, Value: []byte("x")}})
	ends, err := s.admin.ListEndOffsets(ctx(), topic)
	good(err, "end offsets")
	end, _ := ends.Lookup(topic, 4)
	same(end.Offset, int64(1), "end of a new partition")
	_, err = s.admin.DeleteTopic(ctx(), topic)
	good(err, "deletion")
	_, err = s.admin.DeleteTopic(ctx(), topic)
	fails(err, kerr.UnknownTopicOrPartition, "a second deletion")
}

// config is empty as long as the broker has not heard of the topic: an admin's change shows a little after the answer.
func (s *suite) config(topic, key string) kadm.Config {
	described, err := s.admin.DescribeTopicConfigs(ctx(), topic)
	good(err, "configs")
	resource, err := described.On(topic, nil)
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(resource.Err, kerr.UnknownTopicOrPartition) {
		return kadm.Config{}
	}
	good(err, "configs of "+topic)
	good(resource.Err, "configs of "+topic)
	for _, config := range resource.Configs {
		if config.Key == key {
			return config
		}
	}
	fail("no config %s", key)
	return kadm.Config{}
}

func (s *suite) configs() {
	topic := s.topic(1)
	alter := func(alteration kadm.AlterConfig) error {
		altered, err := s.admin.AlterTopicConfigs(ctx(), []kadm.AlterConfig{alteration}, topic)
		good(err, "alteration")
		_, err = altered.On(topic, func(response *kadm.AlterConfigsResponse) error { return response.Err })
		return err
	}
	shows := func(key, value, source string) {
		await(key+"="+value+" from "+source, func() bool {
			config := s.config(topic, key)
			return config.MaybeValue() == value && config.Source.String() == source
		})
	}
	value := func(text string) *string { return &text }
	shows("retention.ms", "604800000", "DEFAULT_CONFIG")
	good(alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: value("7200000")}), "set")
	shows("retention.ms", "7200000", "DYNAMIC_TOPIC_CONFIG")
	good(alter(kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: value("delete")}), "append")
	shows("cleanup.policy", "delete", "DYNAMIC_TOPIC_CONFIG")
	good(alter(kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"}), "delete")
	shows("retention.ms", "604800000", "DEFAULT_CONFIG")
	fails(alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: value("soon")}), kerr.InvalidConfig, "a bad value")
	// The older way: what is not named goes back to its default.
	good(alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.bytes", Value: value("1000")}), "set")
	shows("retention.bytes", "1000", "DYNAMIC_TOPIC_CONFIG")
	state, err := s.admin.AlterTopicConfigsState(ctx(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: value("5000")}}, topic)
	good(err, "the whole state")
	_, err = state.On(topic, func(response *kadm.AlterConfigsResponse) error { return response.Err })
	good(err, "the whole state")
	shows("max.message.bytes", "5000", "DYNAMIC_TOPIC_CONFIG")
	shows("retention.bytes", "-1", "DEFAULT_CONFIG")
}

func (s *suite) records() {
	topic := s.topic(1)
	s.produce(sample(topic, 100))
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 40, -1)
	deleted, err := s.admin.DeleteRecords(ctx(), offsets)
	good(err, "deletion of records")
	good(deleted.Error(), "deletion of records")
	gone, _ := deleted.Lookup(topic, 0)
	same(gone.LowWatermark, int64(40), "low watermark")
	first, err := s.admin.ListStartOffsets(ctx(), topic)
	good(err, "start offsets")
	begin, _ := first.Lookup(topic, 0)
	same(begin.Offset, int64(40), "start offset")
	compare(s.consume(topic, kgo.NewOffset().AtStart(), 60), sample(topic, 100)[40:], 40)
	by, err := s.admin.ListOffsetsAfterMilli(ctx(), start.Add(505*time.Millisecond).UnixMilli(), topic)
	good(err, "offsets by time")
	at, _ := by.Lookup(topic, 0)
	same(at.Offset, int64(51), "offset by time")
	offsets.AddOffset(topic, 0, 101, -1)
	offsets[topic][0] = kadm.Offset{Topic: topic, Partition: 0, At: 101}
	beyond, err := s.admin.DeleteRecords(ctx(), offsets)
	good(err, "deletion of records")
	fails(beyond.Error(), kerr.OffsetOutOfRange, "deletion beyond the end")
}

func (s *suite) groups() {
	topic, group, g := s.topic(partitions), name(), newShared()
	a := s.join("a", group, topic, g)
	g.have(map[string]int{"a": 6})
	listed, err := s.admin.ListGroups(ctx(), "Stable")
	good(err, "groups")
	same(listed[group].ProtocolType, "consumer", "protocol type of a listed group")
	_, err = s.admin.DeleteGroup(ctx(), group)
	fails(err, kerr.NonEmptyGroup, "deletion of a live group")
	a.leave()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 7, -1)
	offsets.AddOffset(topic, 1, 8, -1)
	good(s.admin.CommitAllOffsets(ctx(), group, offsets), "commit")
	fetched, err := s.admin.FetchOffsets(ctx(), group)
	good(err, "offsets")
	seven, _ := fetched.Lookup(topic, 0)
	same(seven.At, int64(7), "offset of partition 0")
	deleted, err := s.admin.DeleteOffsets(ctx(), group, kadm.TopicsSet{topic: {1: {}}})
	good(err, "deletion of offsets")
	good(deleted.Error(), "deletion of offsets")
	fetched, err = s.admin.FetchOffsets(ctx(), group)
	good(err, "offsets")
	_, there := fetched.Lookup(topic, 1)
	same(there, false, "a deleted offset is there")
	_, err = s.admin.DeleteGroup(ctx(), group)
	good(err, "deletion")
	_, err = s.admin.DeleteGroup(ctx(), group)
	fails(err, kerr.GroupIDNotFound, "a second deletion")
}
