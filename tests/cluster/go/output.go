package main

// What containers wrote is a file each, LOGS/NAMESPACE/POD/CONTAINER.log, and is served to the API server the way a
// kubelet does.

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

func (n *node) outputPath(namespace, pod, container string) string {
	return filepath.Join(n.logs, namespace, pod, container+".log")
}

// previous is where the output of a container is kept when it is begun again.
func previous(path string) string {
	return path + ".previous"
}

// serveOutput answers /containerLogs/{namespace}/{pod}/{container}[?follow=true&previous=true&tailLines=N] on a port of
// its own.
func (n *node) serveOutput() error {
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.logs, 0o755); err != nil {
		return err
	}
	certificateFile, keyFile := filepath.Join(n.logs, "node.crt"), filepath.Join(n.logs, "node.key")
	if err := os.WriteFile(certificateFile, certificate, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.port = listener.Addr().(*net.TCPAddr).Port
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.output)
	go http.ServeTLS(listener, mux, certificateFile, keyFile)
	return nil
}

func (n *node) output(w http.ResponseWriter, r *http.Request) {
	part := func(name string) string { return filepath.Base(r.PathValue(name)) }
	path := n.outputPath(part("namespace"), part("pod"), part("container"))
	if r.URL.Query().Get("previous") == "true" {
		path = previous(path)
	}
	file, err := os.Open(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer file.Close()
	if lines, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil {
		if err := skipToLast(file, lines); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	follow := r.URL.Query().Get("follow") == "true"
	for r.Context().Err() == nil {
		// Asked before reading: what was written until the end is then surely read.
		more := follow && n.isWriting(path)
		if _, err := io.Copy(w, file); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		if !more {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (n *node) isWriting(path string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.writing[path]
}

// skipToLast leaves so many lines of a file to be read.
func skipToLast(file *os.File, lines int) error {
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	place := len(text)
	// A line feed at the end begins no line of its own.
	for ; place > 0 && lines > 0; place-- {
		if text[place-1] == '\n' && place < len(text) {
			lines--
			if lines == 0 {
				break
			}
		}
	}
	_, err = file.Seek(int64(place), io.SeekStart)
	return err
}
