package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{
	{"none", kgo.NoCompression()},
	{"gzip", kgo.GzipCompression()},
	{"snappy", kgo.SnappyCompression()},
	{"lz4", kgo.Lz4Compression()},
	{"zstd", kgo.ZstdCompression()},
}

// sample makes records of all shapes: keys and values nil, empty and filled; headers none, single, repeated, nil.
func sample(topic string, count int) []*kgo.Record {
	keys := [][]byte{nil, {}, []byte("key"), make([]byte, 40)}
	values := [][]byte{[]byte("value"), nil, {}, make([]byte, 3000)}
	headers := [][]kgo.RecordHeader{
		nil,
		{{Key: "one", Value: []byte("1")}},
		{{Key: "twice", Value: []byte("first")}, {Key: "other"}, {Key: "twice", Value: []byte("second")}, {Key: "twice", Value: []byte("first")}},
		{{Key: "", Value: []byte{}}, {Key: "ünïcode", Value: []byte{0}}},
	}
	var records []*kgo.Record
	for n := range count {
		records = append(records, &kgo.Record{
			Topic: topic, Partition: 0, Key: keys[n%4], Value: values[n%3+n%2], Headers: headers[n%len(headers)],
			Timestamp: start.Add(time.Duration(n) * 10 * time.Millisecond),
		})
	}
	return records
}

// produce sends to the partitions that the records name.
func (s *suite) produce(records []*kgo.Record, opts ...kgo.Opt) {
	client := s.client(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	defer client.Close()
	good(client.ProduceSync(ctx(), records...).FirstErr(), "produce")
}

// consume reads count records of partition 0 from an offset, and sees that no more come before the end.
func (s *suite) consume(topic string, from kgo.Offset, count int) []*kgo.Record {
	client := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}), kgo.FetchMaxWait(50*time.Millisecond))
	defer client.Close()
	var records []*kgo.Record
	end := ctx()
	for len(records) < count {
		fetches := client.PollFetches(end)
		good(fetches.Err(), fmt.Sprintf("fetch of %s after %d records", topic, len(records)))
		records = append(records, fetches.Records()...)
	}
	same(len(records), count, "number of records")
	return records
}

func compare(got, wanted []*kgo.Record, first int64) {
	same(len(got), len(wanted), "number of records")
	for n, record := range got {
		at := fmt.Sprintf("record %d, ", first+int64(n))
		same(record.Offset, first+int64(n), at+"offset")
		same(record.Key == nil, wanted[n].Key == nil, at+"key is nil")
		same(string(record.Key), string(wanted[n].Key), at+"key")
		same(record.Value == nil, wanted[n].Value == nil, at+"value is nil")
		same(string(record.Value), string(wanted[n].Value), at+"value")
		same(record.Timestamp.UnixMilli(), wanted[n].Timestamp.UnixMilli(), at+"timestamp")
		same(len(record.Headers), len(wanted[n].Headers), at+"number of headers")
		for h, header := range record.Headers {
			same(header.Key, wanted[n].Headers[h].Key, at+"header key")
			same(header.Value == nil, wanted[n].Headers[h].Value == nil, at+"header value is nil")
			same(string(header.Value), string(wanted[n].Headers[h].Value), at+"header value")
		}
	}
}

func (s *suite) codecs() {
	for _, codec := range codecs {
		topic := s.topic(1)
		records := sample(topic, 500)
		s.produce(records, kgo.ProducerBatchCompression(codec.codec))
		compare(s.consume(topic, kgo.NewOffset().AtStart(), 500), records, 0)
		// Whether it was compressed is for the caller to see.
		fmt.Printf("codec %s %s\n", topic, codec.name)
		plain := s.topic(1)
		records = sample(plain, 100)
		s.produce(records, kgo.ProducerBatchCompression(codec.codec), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
		compare(s.consume(plain, kgo.NewOffset().AtStart(), 100), records, 0)
	}
}

func (s *suite) largeRecords() {
	for _, codec := range codecs {
		topic := s.topic(1)
		var records []*kgo.Record
		for n := range 5 {
			value := make([]byte, 900_000)
			rand.New(rand.NewSource(int64(n))).Read(value)
			records = append(records, &kgo.Record{Topic: topic, Value: value, Timestamp: start})
		}
		s.produce(records, kgo.ProducerBatchCompression(codec.codec))
		compare(s.consume(topic, kgo.NewOffset().AtStart(), 5), records, 0)
	}
}

func (s *suite) positions() {
	topic := s.topic(1)
	records := sample(topic, 300)
	s.produce(records)
	compare(s.consume(topic, kgo.NewOffset().At(123), 177), records[123:], 123)
	compare(s.consume(topic, kgo.NewOffset().AtEnd().Relative(-3), 3), records[297:], 297)
	after := func(ms int64) kgo.Offset { return kgo.NewOffset().AfterMilli(start.UnixMilli() + ms) }
	compare(s.consume(topic, after(1230), 177), records[123:], 123)
	compare(s.consume(topic, after(1231), 176), records[124:], 124)
	compare(s.consume(topic, after(-5), 300), records, 0)
	// Past the last record: what comes later.
	client := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: after(3_000)}}))
	defer client.Close()
	brief, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	same(len(client.PollFetches(brief).Records()), 0, "records past the end")
	s.produce([]*kgo.Record{{Topic: topic, Value: []byte("late"), Timestamp: start}})
	late := client.PollFetches(ctx()).Records()
	same(len(late), 1, "late records")
	same(late[0].Offset, int64(300), "offset of the late record")
}

// transactions are not served: the client is told so by the first answer, and does not ask until its own time is up.
// It shows the code and not the broker's words.
func (s *suite) transactions() {
	client := s.client(kgo.TransactionalID(name()))
	defer client.Close()
	begun := make(chan error, 1)
	go func() { begun <- client.BeginTransaction() }()
	select {
	case err := <-begun:
		if !errors.Is(err, kerr.ClusterAuthorizationFailed) {
			fail("error for a transaction: %v", err)
		}
	case <-time.After(20 * time.Second): // a guard against a hang, not a measure
		fail("a transaction is still waited for")
	}
}
