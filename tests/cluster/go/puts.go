package main

// Callers of etcd: each puts one key after the other, as fast as it is answered. What they saw is printed as one line
// of JSON when their time is over.
//
// With -marks, every line on stdin is a mark, and is answered at once with a line on stdout when the first put that was
// *begun* after it is acknowledged: the Unix nanoseconds of that instant. An answer of a leader that is already dead,
// which may still have been on its way, is thus never taken for one of its successor. The callers end with stdin.

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	etcd "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"
)

type putsOptions struct {
	endpoints []string
	clients   int
	warmUp    time.Duration
	seconds   time.Duration
	bytes     int
	timeout   time.Duration
	marks     bool
}

// putsResult is what the callers saw after warming up, over all of them.
type putsResult struct {
	Total   int     `json:"total"`  // acknowledged
	Failed  int     `json:"failed"` // not known to have been done
	Rate    float64 `json:"rate"`   // acknowledged a second
	P50Us   float64 `json:"p50_us"`
	P90Us   float64 `json:"p90_us"`
	P99Us   float64 `json:"p99_us"`
	LongUs  float64 `json:"longest_us"`
	Seconds float64 `json:"seconds"`
}

func runPuts(args []string) error {
	options, err := readPutsOptions(args)
	if err != nil {
		return err
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) // a killed member is no news
	client, err := connect(options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), options.warmUp+options.seconds)
	defer cancel()
	markers := &markers{}
	if options.marks {
		go func() {
			markers.read(os.Stdin)
			cancel()
		}()
	}
	result := measure(ctx, options, client, markers)
	return json.NewEncoder(os.Stdout).Encode(result)
}

func readPutsOptions(args []string) (putsOptions, error) {
	flags := flag.NewFlagSet("puts", flag.ContinueOnError)
	endpoints := flags.String("endpoints", "", "comma-separated URLs of members")
	clients := flags.Int("clients", 1, "concurrent callers, each with one put at a time")
	warmUp := flags.Float64("warm-up", 0, "seconds before counting starts")
	seconds := flags.Float64("seconds", 5, "seconds of counting")
	bytes := flags.Int("bytes", 128, "size of a value")
	timeout := flags.Float64("timeout", 10, "seconds after which a put is given up and the next one begun")
	marks := flags.Bool("marks", false, "answer marks on stdin, and end with it")
	if err := flags.Parse(args); err != nil {
		return putsOptions{}, err
	}
	if *endpoints == "" || *clients < 1 {
		return putsOptions{}, fmt.Errorf("needs -endpoints and at least one client")
	}
	return putsOptions{
		endpoints: strings.Split(*endpoints, ","), clients: *clients, bytes: *bytes, marks: *marks,
		warmUp: duration(*warmUp), seconds: duration(*seconds), timeout: duration(*timeout),
	}, nil
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}

// connect opens the connection to every endpoint that all callers share: measured, more of them are no faster. A read
// makes sure of it, so that nobody's first put pays for it.
func connect(options putsOptions) (*etcd.Client, error) {
	client, err := etcd.New(etcd.Config{Endpoints: options.endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = client.Get(ctx, "puts")
	return client, err
}

// caller is one of the concurrent callers and what it saw.
type caller struct {
	client    *etcd.Client
	key       string
	latencies []time.Duration
	failed    int
}

func measure(ctx context.Context, options putsOptions, client *etcd.Client, markers *markers) putsResult {
	value := make([]byte, options.bytes)
	for i := range value {
		value[i] = byte('a' + rand.IntN(26))
	}
	countFrom := time.Now().Add(options.warmUp)
	callers := make([]*caller, options.clients)
	var running sync.WaitGroup
	for i := range callers {
		callers[i] = &caller{client: client, key: fmt.Sprintf("puts/%d", i)}
		running.Go(func() { callers[i].run(ctx, string(value), options.timeout, countFrom, markers) })
	}
	<-ctx.Done()
	counted := time.Since(countFrom)
	running.Wait()
	return summary(callers, counted)
}

// run puts until the time is over, and then only waits for its last one, which does not count. A put that failed is not
// repeated: another one is begun, after a pause that keeps refusals without a leader from becoming a load of their own.
func (c *caller) run(ctx context.Context, value string, timeout time.Duration, countFrom time.Time, markers *markers) {
	for ctx.Err() == nil {
		begun := time.Now()
		putCtx, cancel := context.WithTimeout(context.Background(), timeout)
		_, err := c.client.Put(putCtx, c.key, value)
		cancel()
		ended := time.Now()
		if err != nil {
			c.failed++
			time.Sleep(5 * time.Millisecond)
			continue
		}
		markers.acknowledged(begun, ended)
		if begun.After(countFrom) && ctx.Err() == nil {
			c.latencies = append(c.latencies, ended.Sub(begun))
		}
	}
}

func summary(callers []*caller, counted time.Duration) putsResult {
	result := putsResult{Seconds: counted.Seconds()}
	var all []time.Duration
	for _, c := range callers {
		all = append(all, c.latencies...)
		result.Failed += c.failed
	}
	if len(all) == 0 {
		return result
	}
	slices.Sort(all)
	at := func(part float64) float64 { return float64(all[int(part*float64(len(all)-1))].Nanoseconds()) / 1000 }
	result.Total, result.Rate = len(all), float64(len(all))/counted.Seconds()
	result.P50Us, result.P90Us, result.P99Us, result.LongUs = at(0.5), at(0.9), at(0.99), at(1)
	return result
}

// markers is the instant of the mark that waits for its answer, in Unix nanoseconds; 0 if none does.
type markers struct {
	waiting atomic.Int64
}

// read takes marks until stdin ends.
func (m *markers) read(stdin *os.File) {
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		m.waiting.Store(time.Now().UnixNano())
	}
}

func (m *markers) acknowledged(begun, ended time.Time) {
	mark := m.waiting.Load()
	if mark != 0 && begun.UnixNano() > mark && m.waiting.CompareAndSwap(mark, 0) {
		fmt.Println(ended.UnixNano())
	}
}
