package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 6

// shared is what the members of one group have between them.
type shared struct {
	sync.Mutex
	owners map[int32]string
	seen   map[string]int
	faults []string
}

func (g *shared) shares() map[string]int {
	g.Lock()
	defer g.Unlock()
	shares := map[string]int{}
	for _, member := range g.owners {
		shares[member]++
	}
	return shares
}

// have waits until these members have so many partitions each, and nobody has another.
func (g *shared) have(wanted map[string]int) {
	await(fmt.Sprintf("shares %v", wanted), func() bool { return fmt.Sprint(g.shares()) == fmt.Sprint(wanted) })
}

// all waits until so many records were seen, each once, and no partition had two owners.
func (g *shared) all(count int) {
	await(fmt.Sprintf("%d records", count), func() bool {
		g.Lock()
		defer g.Unlock()
		return len(g.seen) >= count
	})
	g.Lock()
	defer g.Unlock()
	same(len(g.seen), count, "records seen")
	same(g.faults, []string(nil), "two owners at once")
	for value, times := range g.seen {
		same(times, 1, "times that "+value+" was seen")
	}
}

// member is a consumer on a goroutine of its own.
type member struct {
	client *kgo.Client
	stop   context.CancelFunc
	ended  chan error
}

func (s *suite) join(name, group, topic string, g *shared, opts ...kgo.Opt) *member {
	take := func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
		g.Lock()
		defer g.Unlock()
		for _, partition := range given[topic] {
			if before, had := g.owners[partition]; had {
				g.faults = append(g.faults, fmt.Sprintf("%d was given to %s while %s had it", partition, name, before))
			}
			g.owners[partition] = name
		}
	}
	release := func(ctx context.Context, client *kgo.Client, taken map[string][]int32) {
		// Everything polled so far was counted: who comes next begins where this one has ended.
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			g.Lock()
			g.faults = append(g.faults, fmt.Sprintf("commit of %s: %v", name, err))
			g.Unlock()
		}
		g.Lock()
		defer g.Unlock()
		for _, partition := range taken[topic] {
			delete(g.owners, partition)
		}
	}
	base := []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID(name), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.HeartbeatInterval(200 * time.Millisecond), kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsAssigned(take), kgo.OnPartitionsRevoked(release),
	}
	live, stop := context.WithCancel(context.Background())
	m := &member{client: s.client(append(base, opts...)...), stop: stop, ended: make(chan error, 1)}
	go func() {
		for live.Err() == nil {
			fetches := m.client.PollFetches(live)
			if err := fetches.Err(); err != nil && live.Err() == nil {
				m.ended <- err
				return
			}
			g.Lock()
			fetches.EachRecord(func(record *kgo.Record) { g.seen[string(record.Value)]++ })
			g.Unlock()
			m.client.AllowRebalance()
		}
		m.ended <- nil
	}()
	return m
}

func (m *member) leave() {
	m.stop()
	good(<-m.ended, "a member")
	m.client.Close()
}

func (s *suite) send(topic string, from, to int) {
	var records []*kgo.Record
	for n := from; n < to; n++ {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: fmt.Append(nil, n)})
	}
	s.produce(records)
}

func newShared() *shared {
	return &shared{owners: map[int32]string{}, seen: map[string]int{}}
}

func (s *suite) comeAndGo(balancer kgo.GroupBalancer) {
	topic, group, g := s.topic(partitions), name(), newShared()
	join := func(name string) *member { return s.join(name, group, topic, g, kgo.Balancers(balancer)) }
	s.send(topic, 0, 300)
	a := join("a")
	g.have(map[string]int{"a": 6})
	b := join("b")
	g.have(map[string]int{"a": 3, "b": 3})
	s.send(topic, 300, 600)
	c := join("c")
	g.have(map[string]int{"a": 2, "b": 2, "c": 2})
	s.send(topic, 600, 900)
	g.all(900)
	described, err := s.admin.DescribeGroups(ctx(), group)
	good(err, "description")
	same(described[group].State, "Stable", "state")
	same(len(described[group].Members), 3, "members")
	same(len(described.AssignedPartitions()[topic]), partitions, "partitions assigned")
	b.leave()
	g.have(map[string]int{"a": 3, "c": 3})
	s.send(topic, 900, 1200)
	a.leave()
	g.have(map[string]int{"c": 6})
	s.send(topic, 1200, 1500)
	g.all(1500)
	c.leave()
	lags, err := s.admin.Lag(ctx(), group)
	good(err, "lag")
	same(lags[group].Lag.Total(), int64(0), "lag of all partitions")
	same(lags[group].State, "Empty", "state")
}

// static: a member that comes back with its instance id has what it had, and nobody else is disturbed.
func (s *suite) static() {
	topic, group, g := s.topic(partitions), name(), newShared()
	join := func(name, seat string) *member {
		return s.join(name, group, topic, g, kgo.InstanceID(seat), kgo.Balancers(kgo.StickyBalancer()), kgo.SessionTimeout(30*time.Second))
	}
	a := join("a", "seat-a")
	b := join("b", "seat-b")
	g.have(map[string]int{"a": 3, "b": 3})
	generation := func() int32 {
		_, generation := b.client.GroupMetadata()
		return generation
	}
	before := generation()
	a.leave()
	again := join("again", "seat-a")
	g.have(map[string]int{"again": 3, "b": 3})
	s.send(topic, 0, 300)
	g.all(300)
	same(generation(), before, "generation of the one that stayed")
	again.leave()
	b.leave()
	left, err := s.admin.LeaveGroup(ctx(), kadm.LeaveGroup(group).InstanceIDs("seat-a", "seat-b"))
	good(err, "removal of members")
	good(left.Error(), "removal of a member")
}
