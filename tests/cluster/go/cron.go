package main

// Kubernetes' own reading of cron expressions, as its CronJob controller has it: each line on stdin is a time zone, Unix
// seconds, a count and an expression, with tabs between; it is answered with a line of JSON, the so many next instants
// in Unix seconds, or null if the expression cannot be read. There are fewer where none follows within five years.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func runCron() error {
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.SplitN(lines.Text(), "\t", 4)
		if len(words) != 4 {
			return fmt.Errorf("not four words: %q", lines.Text())
		}
		after, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		if err := answers.Encode(instants(words[0], words[3], after, count)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func instants(zone, expression string, after int64, count int) []int64 {
	schedule, err := cron.ParseStandard("TZ=" + zone + " " + expression)
	if err != nil {
		return nil
	}
	found := []int64{}
	for at := time.Unix(after, 0); len(found) < count; {
		at = schedule.Next(at)
		if at.IsZero() {
			break
		}
		found = append(found, at.Unix())
	}
	return found
}
