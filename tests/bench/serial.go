// serial URL SHA256 FILE: downloads as a node agent in Go does: io.Copy into a temporary file
// and SHA-256 at once, within a bound, then a rename; nothing is flushed to the disk. Prints
// how long that took, in microseconds. One of the yardsticks of tests/bench/cold.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const bound = 8 << 30

func download(url, want, file string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	part, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	defer part.Close()

	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(part, hash), io.LimitReader(response.Body, bound)); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("%s has the digest %s", url, got)
	}
	if err := part.Close(); err != nil {
		return err
	}
	return os.Rename(part.Name(), file)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: serial URL SHA256 FILE")
		os.Exit(2)
	}
	start := time.Now()
	if err := download(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "serial.go:", err)
		os.Exit(1)
	}
	fmt.Println(time.Since(start).Microseconds())
}
