// Callboard as franz-go sees it: records in and out, groups whose members come and go, what an operator asks for.
//
// Usage: go run . BOOTSTRAP. One line a check; the exit code says whether all held.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A guard against a hang, not a measure.
const limit = 60 * time.Second

// An hour ago: brokers forget records by the age of their timestamps.
var start = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

type suite struct {
	bootstrap string
	admin     *kadm.Client
}

// failed is what a check panics with.
type failed string

func fail(format string, args ...any) {
	panic(failed(fmt.Sprintf(format, args...)))
}

func same(got, wanted any, what string) {
	if !reflect.DeepEqual(got, wanted) {
		fail("%s: got %.300v, wanted %.300v", what, got, wanted)
	}
}

func good(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	time.AfterFunc(limit, cancel)
	return ctx
}

func name() string {
	bytes := make([]byte, 6)
	_, _ = rand.Read(bytes)
	return "go-" + hex.EncodeToString(bytes)
}

func (s *suite) client(opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.bootstrap), kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
	good(err, "a client")
	return client
}

func (s *suite) topic(partitions int32) string {
	topic := name()
	_, err := s.admin.CreateTopic(ctx(), partitions, 1, nil, topic)
	good(err, "creation of "+topic)
	return topic
}

// await asks until it is so.
func await(what string, so func() bool) {
	for until := time.Now().Add(limit); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			fail("still not: %s", what)
		}
	}
}

func (s *suite) run(check func()) (result error) {
	defer func() {
		switch problem := recover().(type) {
		case nil:
		case failed:
			result = fmt.Errorf("%s", string(problem))
		default:
			result = fmt.Errorf("%v", problem)
		}
	}()
	check()
	return nil
}

func main() {
	s := &suite{bootstrap: os.Args[1]}
	s.admin = kadm.NewClient(s.client())
	checks := []struct {
		name string
		run  func()
	}{
		{"codecs", s.codecs},
		{"largeRecords", s.largeRecords},
		{"positions", s.positions},
		{"groupCooperative", func() { s.comeAndGo(kgo.CooperativeStickyBalancer()) }},
		{"groupRange", func() { s.comeAndGo(kgo.RangeBalancer()) }},
		{"groupSticky", func() { s.comeAndGo(kgo.StickyBalancer()) }},
		{"static", s.static},
		{"topics", s.topics},
		{"configs", s.configs},
		{"records", s.records},
		{"groups", s.groups},
		{"transactions", s.transactions},
	}
	results := make([]chan error, len(checks))
	for n, check := range checks {
		results[n] = make(chan error, 1)
		go func() { results[n] <- s.run(check.run) }()
	}
	bad := 0
	for n, check := range checks {
		if err := <-results[n]; err != nil {
			bad++
			fmt.Printf("FAILED  %s: %v\n", check.name, err)
		} else {
			fmt.Printf("ok      %s\n", check.name)
		}
	}
	fmt.Printf("%d of %d held\n", len(checks)-bad, len(checks))
	if bad > 0 {
		os.Exit(1)
	}
}
