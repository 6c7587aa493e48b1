package main

// A container is a child process in a process group of its own, with the container's arguments and environment.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// argv is what a container runs; nil if its image cannot be had.
func (n *node) argv(c core.Container) []string {
	if len(c.Command) > 0 {
		return slices.Concat(c.Command, c.Args)
	}
	for image, entrypoint := range n.images {
		prefix, wild := strings.CutSuffix(image, "*")
		if image == c.Image || wild && strings.HasPrefix(c.Image, prefix) {
			return slices.Concat(entrypoint, c.Args)
		}
	}
	return nil
}

// execute runs a container to its end and gives its exit code: 128 if it could not be prepared, 127 if it could not be
// started, 137 if a signal ended it.
func (n *node) execute(ctx context.Context, pod *core.Pod, c core.Container, argv []string) int {
	path := n.outputPath(pod.Namespace, pod.Name, c.Name)
	out, err := n.openOutput(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "output of", pod.Name, err)
		return 128
	}
	defer n.closeOutput(path, out)
	env, err := n.environment(ctx, pod, c)
	if err != nil {
		fmt.Fprintln(out, err)
		return 128
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	// The death signal comes when the *thread* that started the process ends, so this one is kept until it is over.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, n.endingSignal()) }
	cmd.WaitDelay = grace(pod)
	err = cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(out, err)
		return 127
	}
	// What the container's first process left behind has no container any more.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 137
}

// endingSignal is for containers: those of a deleted pod are asked to end, those of an ending node just end.
func (n *node) endingSignal() syscall.Signal {
	if n.life.Err() != nil {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}

// grace is how long a container may take to end, at most five seconds here.
func grace(pod *core.Pod) time.Duration {
	seconds := pod.Spec.TerminationGracePeriodSeconds
	if seconds == nil {
		return 5 * time.Second
	}
	return min(max(time.Duration(*seconds)*time.Second, time.Millisecond), 5*time.Second)
}

func (n *node) openOutput(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Rename(path, previous(path)); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	n.mu.Lock()
	n.writing[path] = true
	n.mu.Unlock()
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

func (n *node) closeOutput(path string, out *os.File) {
	out.Close()
	n.mu.Lock()
	delete(n.writing, path)
	n.mu.Unlock()
}

func (n *node) environment(ctx context.Context, pod *core.Pod, c core.Container) ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "HOSTNAME=" + pod.Name}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			var err error
			if value, err = n.valueFrom(ctx, pod, c, e.ValueFrom); err != nil {
				return nil, err
			}
		}
		env = append(env, e.Name+"="+value)
	}
	return env, nil
}

func (n *node) valueFrom(ctx context.Context, pod *core.Pod, c core.Container, from *core.EnvVarSource) (string, error) {
	switch {
	case from.SecretKeyRef != nil:
		secret, err := n.client.CoreV1().Secrets(pod.Namespace).Get(ctx, from.SecretKeyRef.Name, meta.GetOptions{})
		if err != nil {
			return "", err
		}
		return string(secret.Data[from.SecretKeyRef.Key]), nil
	case from.ConfigMapKeyRef != nil:
		configMap, err := n.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, from.ConfigMapKeyRef.Name, meta.GetOptions{})
		if err != nil {
			return "", err
		}
		return configMap.Data[from.ConfigMapKeyRef.Key], nil
	case from.FieldRef != nil:
		fields := map[string]string{
			"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "metadata.uid": string(pod.UID),
			"spec.nodeName": n.name, "status.podIP": pod.Status.PodIP}
		return fields[from.FieldRef.FieldPath], nil
	case from.ResourceFieldRef != nil:
		quantities := map[string]resource.Quantity{
			"limits.cpu": c.Resources.Limits[core.ResourceCPU], "limits.memory": c.Resources.Limits[core.ResourceMemory],
			"requests.cpu": c.Resources.Requests[core.ResourceCPU], "requests.memory": c.Resources.Requests[core.ResourceMemory]}
		quantity := quantities[from.ResourceFieldRef.Resource]
		return fmt.Sprint(quantity.Value()), nil
	}
	return "", nil
}
