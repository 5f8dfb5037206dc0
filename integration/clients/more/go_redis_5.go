// go-redis 5. See ../README.md.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"gopkg.in/redis.v5"
)

type settings struct {
	Sentinels [][]interface{}
	Master    string
	Key       string
	Password  string
}

type line map[string]interface{}

func say(what line) {
	text, _ := json.Marshal(what)
	fmt.Println(string(text))
}

func main() {
	var s settings
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		panic(err)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	say(line{"event": "version", "version": "5"})
	options := &redis.FailoverOptions{
		MasterName: s.Master, Password: s.Password,
		DialTimeout: time.Second / 2, ReadTimeout: time.Second / 2, WriteTimeout: time.Second / 2,
	}
	for _, address := range s.Sentinels {
		options.SentinelAddrs = append(options.SentinelAddrs, fmt.Sprintf("%s:%.0f", address...))
	}
	client := redis.NewFailoverClient(options)
	for n := 1; ; n++ {
		if err := client.SAdd(s.Key, n).Err(); err == nil {
			say(line{"event": "write", "n": n})
		} else {
			say(line{"event": "error", "while": "write", "error": err.Error()})
		}
		if n%10 == 0 {
			role := redis.NewSliceCmd("role")
			client.Process(role)
			if words, err := role.Result(); err == nil {
				say(line{"event": "read", "role": words[0], "count": client.SCard(s.Key).Val()})
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
