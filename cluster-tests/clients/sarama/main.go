// Callboard as sarama sees it: offsets looked up by time, and an idempotent producer's records.
//
// Usage: go run . BOOTSTRAP. One line a check; the exit code says whether all held. The same source is built twice: with
// go.mod, the newest sarama, and with v1.43.mod, which leaves the largest timestamp of its batches' headers unset.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// A guard against a hang, not a measure.
const limit = 60 * time.Second

var codecs = []sarama.CompressionCodec{
	sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
}

type suite struct {
	bootstrap string
	admin     sarama.ClusterAdmin
}

// failed is what a check panics with.
type failed string

func same(got, wanted any, what string) {
	if !reflect.DeepEqual(got, wanted) {
		panic(failed(fmt.Sprintf("%s: got %s, wanted %s", what, show(got), show(wanted))))
	}
}

func show(value any) string {
	return fmt.Sprintf("%.300s", fmt.Sprint(value))
}

func good(err error, what string) {
	if err != nil {
		panic(failed(fmt.Sprintf("%s: %v", what, err)))
	}
}

func (s *suite) topic() string {
	bytes := make([]byte, 6)
	_, _ = rand.Read(bytes)
	name := "sarama-" + hex.EncodeToString(bytes)
	good(s.admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false), "creation of "+name)
	return name
}

// client has sarama's own settings, its version of Kafka included, but for what is changed.
func (s *suite) client(change func(*sarama.Config)) sarama.Client {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.MaxWaitTime = 50 * time.Millisecond
	change(config)
	client, err := sarama.NewClient([]string{s.bootstrap}, config)
	good(err, "a client")
	return client
}

func (s *suite) produce(records []*sarama.ProducerMessage, change func(*sarama.Config)) {
	client := s.client(change)
	defer client.Close()
	producer, err := sarama.NewSyncProducerFromClient(client)
	good(err, "a producer")
	defer producer.Close()
	good(producer.SendMessages(records), "produce")
}

// consume reads count records from the beginning.
func (s *suite) consume(topic string, count int) []*sarama.ConsumerMessage {
	client := s.client(func(*sarama.Config) {})
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	good(err, "a consumer")
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	good(err, "a consumer of "+topic)
	defer partition.Close()
	var records []*sarama.ConsumerMessage
	end := time.After(limit)
	for len(records) < count {
		select {
		case record := <-partition.Messages():
			records = append(records, record)
		case <-end:
			panic(failed(fmt.Sprintf("%s: %d of %d records", topic, len(records), count)))
		}
	}
	same(partition.HighWaterMarkOffset(), int64(count), "the end of "+topic)
	return records
}

func compare(got []*sarama.ConsumerMessage, wanted []*sarama.ProducerMessage) {
	same(len(got), len(wanted), "number of records")
	for n, record := range got {
		at := fmt.Sprintf("record %d, ", n)
		same(record.Offset, int64(n), at+"offset")
		same(record.Timestamp.UnixMilli(), wanted[n].Timestamp.UnixMilli(), at+"timestamp")
		same(string(record.Key), bytes(wanted[n].Key), at+"key")
		same(string(record.Value), bytes(wanted[n].Value), at+"value")
		same(len(record.Headers), len(wanted[n].Headers), at+"number of headers")
		for h, header := range record.Headers {
			same(*header, wanted[n].Headers[h], at+"header")
		}
	}
}

func bytes(encoder sarama.Encoder) string {
	if encoder == nil {
		return ""
	}
	bytes, err := encoder.Encode()
	good(err, "a key or value")
	return string(bytes)
}

// byTime sends three records in one batch and looks each of them up.
func (s *suite) byTime() {
	for _, codec := range codecs {
		topic := s.topic()
		now := time.Now().Truncate(time.Millisecond)
		var records []*sarama.ProducerMessage
		for _, ago := range []time.Duration{60, 30, 0} {
			value := sarama.StringEncoder(strings.Repeat("half-hour ", 20))
			records = append(records, &sarama.ProducerMessage{Topic: topic, Value: value, Timestamp: now.Add(-ago * time.Second)})
		}
		s.produce(records, func(config *sarama.Config) {
			config.Producer.Compression = codec
			// Nothing goes out before all three are there.
			config.Producer.Flush.Messages = 3
		})
		client := s.client(func(*sarama.Config) {})
		for _, look := range []struct{ at, offset int64 }{{-61_000, 0}, {-60_000, 0}, {-59_999, 1}, {-30_000, 1}, {-29_999, 2}, {0, 2}, {1, -1}} {
			found, err := client.GetOffset(topic, 0, now.UnixMilli()+look.at)
			good(err, "a look-up by time")
			same(found, look.offset, fmt.Sprintf("%s: the first offset from %d ms on", codec, look.at))
		}
		client.Close()
		compare(s.consume(topic, 3), records)
		// Both are for the caller to see: whether it was compressed, and what the stored header says.
		fmt.Printf("codec %s %s\nstamped %s %d\n", topic, codec, topic, now.UnixMilli())
	}
}

// idempotent sends records of all shapes, in more batches than may be under way at once.
func (s *suite) idempotent() {
	for _, codec := range codecs {
		topic := s.topic()
		now := time.Now().Truncate(time.Millisecond)
		var records []*sarama.ProducerMessage
		for n := range 500 {
			record := &sarama.ProducerMessage{Topic: topic, Timestamp: now.Add(time.Duration(n-500) * time.Millisecond)}
			if n%3 > 0 {
				record.Key = sarama.StringEncoder(fmt.Sprintf("key %d", n))
			}
			if n%4 > 0 {
				record.Value = sarama.StringEncoder(strings.Repeat("curtain", n))
			}
			if n%5 > 0 {
				record.Headers = []sarama.RecordHeader{{Key: []byte("one"), Value: []byte("1")}, {Key: []byte("two"), Value: []byte{0}}}
			}
			records = append(records, record)
		}
		s.produce(records, func(config *sarama.Config) {
			config.Producer.Compression = codec
			config.Producer.Idempotent = true
			config.Producer.RequiredAcks = sarama.WaitForAll
			config.Net.MaxOpenRequests = 1
			config.Producer.Flush.MaxMessages = 50
		})
		compare(s.consume(topic, 500), records)
	}
}

func (s *suite) run(check func()) (result error) {
	defer func() {
		if problem := recover(); problem != nil {
			result = fmt.Errorf("%v", problem)
		}
	}()
	check()
	return nil
}

func main() {
	s := &suite{bootstrap: os.Args[1]}
	admin, err := sarama.NewClusterAdmin([]string{s.bootstrap}, sarama.NewConfig())
	if err != nil {
		fmt.Println("FAILED  an admin client:", err)
		os.Exit(1)
	}
	s.admin = admin
	checks := []struct {
		name string
		run  func()
	}{
		{"byTime", s.byTime},
		{"idempotent", s.idempotent},
	}
	bad := 0
	for _, check := range checks {
		if err := s.run(check.run); err != nil {
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
